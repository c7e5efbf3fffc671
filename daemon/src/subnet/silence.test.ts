import type { SourceStatistics } from './manager.ts';
import { silenceTrouble, waitingTrouble } from './silence.ts';

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

test('waitingTrouble() says what is waited for, and who does not answer', () => {
  expect(waitingTrouble('the network config', { ...heard, silentMs: 300 })).toBe(
    'waiting for the network config from etcd (last tried: http://10.0.0.1:2379)',
  );
  expect(waitingTrouble('the network config', { ...heard, silentMs: 7200 })).toBe(
    'waiting for etcd (last tried: http://10.0.0.1:2379), which has not answered for 7 s: check etcd and the way to it',
  );
  expect(waitingTrouble('a lease', undefined)).toBe('waiting for a lease');
});
