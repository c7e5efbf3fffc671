import { deviceCounters, parseDeviceCounters, transmitDrops } from './device-counters.ts';

const TABLE = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:     100       2    0    3    0     0          0         0      100       2    0    4    0     0       0          0
flannel0:123456789012 22 0 5 0 0 0 0 77 8 0 17 0 0 0 0
flannel01:   1       1    0    1    0     0          0         0        1       1    0    9    0     0       0          0
`;

test('parseDeviceCounters() finds a device, whatever the width of its columns, and no other of a similar name', () => {
  const drops = ['lo', 'flannel0', 'flannel01', 'flannel'].map((name) => parseDeviceCounters(TABLE, name)?.sendDropped);
  expect(drops).toEqual([4, 17, 9, undefined]);
  expect(parseDeviceCounters(TABLE, 'flannel0')).toEqual({
    receivedBytes: 123456789012,
    receivedPackets: 22,
    sentBytes: 77,
    sentPackets: 8,
    sendDropped: 17,
  });
});

test('deviceCounters() and transmitDrops() read the table of the kernel', () => {
  expect(deviceCounters('lo')?.receivedBytes).toBeGreaterThanOrEqual(0);
  expect(transmitDrops('lo')).toBeGreaterThanOrEqual(0);
  expect(transmitDrops('no-such-device')).toBeUndefined();
});
