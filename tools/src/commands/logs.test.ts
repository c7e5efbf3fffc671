import { formatLogLine } from './logs.ts';

test.each([
  [
    '{"level":30,"time":"2026-01-02T03:04:05.678Z","lease":"10.244.7.0/24","peers":2,"msg":"Ready"}',
    '03:04:05.678 INFO Ready lease=10.244.7.0/24 peers=2',
  ],
  ['{"level":50,"time":"2026-01-02T03:04:05.678Z","msg":"No"}', '03:04:05.678 ERROR No'],
  ['2026-01-02 03:04:05 I | etcdserver: ready', '2026-01-02 03:04:05 I | etcdserver: ready'],
  ['{"health":"true"}', '{"health":"true"}'],
  ['7', '7'],
])('formatLogLine(%j)', (line, text) => {
  expect(formatLogLine(line)).toBe(text);
});
