import type { SourceStatistics } from './manager.ts';
import { silenceTrouble } from './silence.ts';

const heard: SourceStatistics = {
  name: 'etcd',
  silentMs: 59_000,
  member: 'http://10.0.0.1:2379',
  failovers: 3,
  resyncs: 0,
  servesKept: false,
};

test('silenceTrouble() is silent itself until the source was for too long, then names it', () => {
  expect(silenceTrouble(heard)).toBeUndefined();
  expect(silenceTrouble({ ...heard, silentMs: 75_400 })).toBe(
    'etcd (last tried: http://10.0.0.1:2379) has not answered for 75 s, what is known stays in force: check etcd and the way to it',
  );
  expect(silenceTrouble({ ...heard, silentMs: 75_400, servesKept: true })).toContain('kept on disk');
});
