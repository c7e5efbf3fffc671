import { parseTransmitDrops, transmitDrops } from './device-drops.ts';

const TABLE = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:     100       2    0    3    0     0          0         0      100       2    0    4    0     0       0          0
flannel0:123456789012 22 0 5 0 0 0 0 77 8 0 17 0 0 0 0
flannel01:   1       1    0    1    0     0          0         0        1       1    0    9    0     0       0          0
`;

test('parseTransmitDrops() finds a device, whatever the width of its columns, and no other of a similar name', () => {
  expect(['lo', 'flannel0', 'flannel01', 'flannel'].map((name) => parseTransmitDrops(TABLE, name))).toEqual([
    ...[4, 17, 9],
    undefined,
  ]);
});

test('transmitDrops() reads the table of the kernel', () => {
  expect(transmitDrops('lo')).toBeGreaterThanOrEqual(0);
  expect(transmitDrops('no-such-device')).toBeUndefined();
});
