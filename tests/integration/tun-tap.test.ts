import { execFileSync } from 'node:child_process';
import { createNetns, deleteNetns, withNetns } from '@flannel-ts/linux/netns';
import { type Device, NO_OFFLOADS, open } from 'tun-tap/open';

jest.setTimeout(60_000);

const NAMESPACE = `/run/netns/fltest-${process.pid}-tun`;
const opened: Device[] = [];
const openHere = (options: Parameters<typeof open>[0]): Device => {
  const device = withNetns(NAMESPACE, () => open(options));
  opened.push(device);
  return device;
};
const ip = (...args: string[]): string =>
  execFileSync('nsenter', [`--net=${NAMESPACE}`, 'ip', ...args], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });

/** An IPv4 UDP packet from 10.9.0.2 to 10.9.0.1, port 9, without a UDP checksum. */
function packet(payload: number): Uint8Array {
  const bytes = new Uint8Array(28 + payload);
  const view = new DataView(bytes.buffer);
  bytes.set([0x45, 0, 0, 0, 0, 1, 0, 0, 64, 17, 0, 0, 10, 9, 0, 2, 10, 9, 0, 1]);
  view.setUint16(2, bytes.length);
  let sum = 0;
  for (let at = 0; at < 20; at += 2) sum += view.getUint16(at);
  view.setUint16(10, ~((sum & 0xffff) + (sum >>> 16)) & 0xffff);
  view.setUint16(20, 9);
  view.setUint16(22, 9);
  view.setUint16(24, 8 + payload);
  return bytes;
}

beforeAll(() => createNetns(NAMESPACE));
afterEach(() => {
  for (const device of opened.splice(0)) device.close();
});
afterAll(() => deleteNetns(NAMESPACE));

test('open() lets the kernel number the device, and it goes with its descriptor', () => {
  const [first, second] = [openHere({ name: 'flannel%d' }), openHere({ name: 'flannel%d' })];
  expect([first.name, second.name]).toEqual(['flannel0', 'flannel1']);
  expect(JSON.parse(ip('-j', '-d', 'link', 'show', 'flannel0'))[0].linkinfo).toMatchObject({
    info_kind: 'tun',
    info_data: { type: 'tun', pi: false },
  });
  first.close();
  expect(() => ip('link', 'show', 'flannel0')).toThrow();
});

test('open() makes TAP devices too', () => {
  const { name } = openHere({ kind: 'tap' });
  expect(JSON.parse(ip('-j', '-d', 'link', 'show', name))[0].linkinfo.info_data.type).toBe('tap');
});

test('write() and read() move packets: a ping of the device is answered through it', () => {
  const device = openHere({ name: 'tun9', nonblocking: true });
  ip('addr', 'add', '10.9.0.1/24', 'dev', 'tun9');
  ip('link', 'set', 'tun9', 'up');
  expect(device.write(packet(8))).toBe(36);
  // Nobody listens on port 9 of 10.9.0.1: the kernel says so, with the packet quoted.
  const answer = new Uint8Array(2048);
  let length = 0;
  do {
    length = device.read(answer);
  } while (answer[0] !== 0x45); // IPv6 router solicitations come as well
  expect(answer[9]).toBe(1);
  expect([...answer.subarray(20, 22)]).toEqual([3, 3]);
  expect(length).toBe(20 + 8 + 36);
  expect(() => {
    for (;;) device.read(answer);
  }).toThrow(expect.objectContaining({ code: 'EAGAIN' }));
});

test('a device with a vnet header puts 10 bytes before each packet', () => {
  const device = openHere({ name: 'tun9', vnetHeader: true, nonblocking: true });
  ip('addr', 'add', '10.9.0.1/24', 'dev', 'tun9');
  ip('link', 'set', 'tun9', 'up');
  const framed = new Uint8Array(10 + 36);
  framed.set(packet(8), 10);
  expect(device.write(framed)).toBe(46);
  const answer = new Uint8Array(2048);
  do {
    device.read(answer);
  } while (answer[10] !== 0x45);
  expect(answer[10 + 9]).toBe(1);
});

test('probeOffloads() turns on what the kernel knows, and setOffload() turns it off again', () => {
  const device = openHere({ vnetHeader: true });
  expect(device.offloads).toEqual(NO_OFFLOADS);
  expect(device.probeOffloads()).toMatchObject({ checksum: true, tso: true });
  device.setOffload(NO_OFFLOADS);
  expect(device.offloads).toEqual(NO_OFFLOADS);
  expect(() => device.setOffload({ ...NO_OFFLOADS, tso: true })).toThrow(
    expect.objectContaining({ code: 'UNSUPPORTED' }),
  );
});

test('offloads need a vnet header', () => {
  expect(() => openHere({}).probeOffloads()).toThrow(expect.objectContaining({ code: 'UNSUPPORTED' }));
});

test('open() clears the offloads that the last user of a persistent device left', () => {
  const first = openHere({ name: 'tun8', vnetHeader: true, persist: true });
  first.probeOffloads();
  first.close();
  expect(ip('link', 'show', 'tun8')).toContain('tun8');
  expect(openHere({ name: 'tun8', vnetHeader: true, persist: false }).offloads).toEqual(NO_OFFLOADS);
});

test('openQueue() adds queues to a device, 256 at most', () => {
  const device = openHere({ name: 'tun7', multiQueue: true });
  for (let queue = 1; queue < 256; queue++) opened.push(withNetns(NAMESPACE, () => device.openQueue()));
  expect(() => withNetns(NAMESPACE, () => device.openQueue())).toThrow(expect.objectContaining({ code: 'FAILED' }));
  opened[1]!.setQueueEnabled(false);
  expect(JSON.parse(ip('-j', '-d', 'link', 'show', 'tun7'))[0].linkinfo.info_data).toMatchObject({
    multi_queue: true,
    numqueues: 255,
    numdisabled: 1,
  });
});

test.each([
  ['a name that is too long', { name: 'a-name-of-16-byte' }, 'INVALID_NAME'],
  ['a name with a slash', { name: 'a/b' }, 'INVALID_NAME'],
  ['the name of a device of another kind', { name: 'tun6', kind: 'tap' as const }, 'EXISTS'],
  ['a name in use', { name: 'tun6' }, 'BUSY'],
  ['a name in use, exclusively', { name: 'tun6', exclusive: true }, 'BUSY'],
])('open() refuses %s', (_, options, code) => {
  openHere({ name: 'tun6' });
  expect(() => openHere(options)).toThrow(expect.objectContaining({ code }));
});
