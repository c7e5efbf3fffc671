import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseIp } from '@flannel-ts/inet/ip';
import { transmitDrops } from '@flannel-ts/linux/device-counters';
import { closeFd, ioctl, tryRead } from '@flannel-ts/linux/files';
import { addressOf } from '@flannel-ts/linux/memory';
import { createNetns, deleteNetns, withNetns } from '@flannel-ts/linux/netns';
import {
  AF_INET,
  SOCK_DGRAM,
  SOL_UDP,
  sendTo,
  setSocketOption,
  sockaddrIn,
  socket,
  UDP_SEGMENT,
} from '@flannel-ts/linux/socket';
import { buildSync } from 'esbuild';
import { TUNSETVNETHDRSZ } from 'tun-tap/constants';
import { adopt, type Device, NO_OFFLOADS, open } from 'tun-tap/open';

jest.setTimeout(240_000);

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

/** What `ethtool -k DEVICE` shows as tcp-segmentation-offload. */
function takesUnsegmented(name: string): boolean {
  const value = new Uint32Array([0x1e, 0]); // ETHTOOL_GTSO, linux/ethtool.h
  const ifreq = new Uint8Array(40);
  ifreq.set(new TextEncoder().encode(name));
  new DataView(ifreq.buffer).setBigUint64(16, BigInt(addressOf(value)), true);
  const fd = withNetns(NAMESPACE, () => socket(AF_INET, SOCK_DGRAM));
  ioctl(fd, 0x8946, ifreq); // SIOCETHTOOL
  closeFd(fd);
  return value[1] === 1;
}

test.each([true, false])(
  'open() clears the offloads that the last user of a persistent device left (vnetHeader: %p)',
  (vnetHeader) => {
    const first = openHere({ name: 'tun8', vnetHeader: true, persist: true });
    first.probeOffloads();
    expect(takesUnsegmented('tun8')).toBe(true);
    first.close();
    expect(takesUnsegmented('tun8')).toBe(true);
    expect(openHere({ name: 'tun8', vnetHeader, persist: false }).offloads).toEqual(NO_OFFLOADS);
    expect(takesUnsegmented('tun8')).toBe(false);
  },
);

test('open() sets the header size back that the last user of a persistent device left', () => {
  const first = openHere({ name: 'tun8', vnetHeader: true, persist: true });
  ioctl(first.fd, TUNSETVNETHDRSZ, new Uint8Array([12, 0, 0, 0]));
  first.close();
  const next = openHere({ name: 'tun8', vnetHeader: true, persist: false });
  const size = new Uint8Array(4);
  ioctl(next.fd, 0x800454d7, size); // TUNGETVNETHDRSZ
  expect(size[0]).toBe(10);
});

describe('with UDP offload', () => {
  /** Sends 5 datagrams of 1000 bytes as one, to the other side of a device, and returns what is read there. */
  function lengthsRead(offload: boolean): { length: number; gsoType: number; gsoSize: number }[] {
    const device = openHere({ name: 'tun9', vnetHeader: true, nonblocking: true });
    if (offload) expect(device.probeOffloads().uso).toBe(true);
    ip('addr', 'add', '10.9.0.1/24', 'dev', 'tun9');
    ip('link', 'set', 'tun9', 'up');
    const fd = withNetns(NAMESPACE, () => socket(AF_INET, SOCK_DGRAM));
    setSocketOption(fd, SOL_UDP, UDP_SEGMENT, 1000);
    sendTo(fd, new Uint8Array(5000), 0, sockaddrIn(0x0a090002, 9));
    closeFd(fd);
    const buffer = new Uint8Array(65546);
    const read = [];
    for (let length = tryRead(device.fd, buffer); length > 0; length = tryRead(device.fd, buffer)) {
      if (buffer[10] === 0x45) read.push({ length, gsoType: buffer[1]!, gsoSize: buffer[4]! + 256 * buffer[5]! });
    }
    return read;
  }

  test('datagrams that a program sent as one are read as one', () => {
    expect(lengthsRead(true)).toEqual([{ length: 10 + 28 + 5000, gsoType: 5, gsoSize: 1000 }]);
  });

  test('without it they are read one by one', () => {
    expect(lengthsRead(false)).toEqual(Array(5).fill({ length: 10 + 28 + 1000, gsoType: 0, gsoSize: 0 }));
  });
});

describe('examples/echo.ts answers pings', () => {
  const example = 'packages/tun-tap/examples/echo.ts';
  const bundle = join(tmpdir(), `fltest-${process.pid}-echo.cjs`);
  afterAll(() => rmSync(bundle, { force: true }));

  test.each(['bun', 'node'])('%s', async (runtime) => {
    if (runtime === 'node') buildSync({ entryPoints: [example], bundle: true, platform: 'node', outfile: bundle });
    const command = runtime === 'node' ? [process.execPath, bundle] : ['node_modules/.bin/bun', example];
    const echo = spawn('nsenter', [`--net=${NAMESPACE}`, ...command], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, NODE_PATH: resolve('node_modules') },
    });
    try {
      const [line] = await once(echo.stdout, 'data');
      expect(String(line)).toBe('echo0 is up\n');
      const output = execFileSync('nsenter', [`--net=${NAMESPACE}`, 'ping', '-c3', '-i0.2', '-W5', '10.99.0.7'], {
        encoding: 'utf8',
      });
      expect(output).toContain('3 packets transmitted, 3 received, 0% packet loss');
    } finally {
      echo.kill('SIGKILL');
      await once(echo, 'exit');
    }
  });
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

test('adopt() takes over a queue with what waits in it, and knows its flags', () => {
  const device = openHere({ name: 'tun9', vnetHeader: true, multiQueue: true, nonblocking: true });
  expect(adopt(device.fd)).toMatchObject({ name: 'tun9', kind: 'tun', hasVnetHeader: true, isMultiQueue: true });
  ip('link', 'delete', 'tun9');
  expect(adopt(device.fd)).toBeUndefined();
  const plain = openHere({ name: 'tap9', kind: 'tap' });
  expect(adopt(plain.fd)).toMatchObject({ name: 'tap9', kind: 'tap', hasVnetHeader: false, isMultiQueue: false });
  const fd = withNetns(NAMESPACE, () => socket(AF_INET, SOCK_DGRAM));
  expect(adopt(fd)).toBeUndefined();
  closeFd(fd);
});

test('transmitDrops() counts what the queue of a device had no room for', () => {
  openHere({ name: 'tun8' });
  ip('address', 'add', '10.98.0.1/24', 'dev', 'tun8');
  ip('link', 'set', 'tun8', 'txqueuelen', '10', 'up');
  const drops = (): number => withNetns(NAMESPACE, () => transmitDrops('tun8')!);
  const before = drops();
  const fd = withNetns(NAMESPACE, () => socket(AF_INET, SOCK_DGRAM));
  try {
    for (let i = 0; i < 50; i++) sendTo(fd, new Uint8Array(8), 0, sockaddrIn(parseIp('10.98.0.2'), 9));
  } finally {
    closeFd(fd);
  }
  expect(drops() - before).toBeGreaterThanOrEqual(40);
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
