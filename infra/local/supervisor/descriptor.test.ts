import { restartsSince, type Status } from './descriptor.ts';

const status = (pid: number, restarts: number): Status => {
  return { supervisor: { pid, startTime: '7' }, ready: false, answering: false, restarts, configHash: 'x' };
};

test('restartsSince() counts from the earlier look, if the same supervisor counts', () => {
  expect(restartsSince(status(1, 5), undefined)).toBe(5);
  expect(restartsSince(status(1, 5), status(1, 3))).toBe(2);
  expect(restartsSince(status(2, 1), status(1, 3))).toBe(1);
  expect(restartsSince(status(1, 1), status(1, 3))).toBe(1);
});
