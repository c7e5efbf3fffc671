/** Each program of the data path on packets, branch by branch, as the kernel runs it (BPF_PROG_TEST_RUN). */
import { execFileSync } from 'node:child_process';
import { type BpfMap, createMap, indexKey, sumPerCpu } from '@flannel-ts/bpf/map';
import { type BpfProgram, loadProgram } from '@flannel-ts/bpf/program';
import { parseIp } from '@flannel-ts/inet/ip';
import type { Ipv4 } from '@flannel-ts/inet/ipv4';
import { parsePort } from '@flannel-ts/inet/port';
import { parsePrefix } from '@flannel-ts/inet/prefix';
import { createNetns, deleteNetns, withNetns } from '@flannel-ts/linux/netns';
import {
  COUNTERS,
  COUNTERS_BYTES,
  type CounterName,
  type HandedOver,
  MAPS,
} from '../../daemon/src/datapath/ebpf/layout.ts';
import { receiveProgram } from '../../daemon/src/datapath/ebpf/programs/receive.ts';
import { sendProgram } from '../../daemon/src/datapath/ebpf/programs/send.ts';
import { DROP, GO_ON, REDIRECTED, SKB_BYTES } from '../../daemon/src/datapath/ebpf/programs/skb.ts';
import { Tables } from '../../daemon/src/datapath/ebpf/tables.ts';
import { internetChecksum } from '../../daemon/src/datapath/tun/engine/checksum.ts';
import { putWord, word } from '../../daemon/src/datapath/tun/engine/ipv4-header.ts';
import { aged } from '../../daemon/testing/engine/compliance/bench.ts';
import { ipv4Packet, type PacketFields, sealed } from '../../daemon/testing/engine/packets.ts';
import { aged6, ipv6Packet } from '../../daemon/testing/engine/packets6.ts';

const netns = `/run/netns/fltest-${process.pid}-programs`;
const LISTEN = parseIp('192.0.2.1', 4);
const PEER = parseIp('192.0.2.2', 4);
const OTHER = parseIp('192.0.2.3', 4);
const PORT = parsePort(8285);
const OWN = parseIp('10.1.0.0', 4);
const OWN6 = parseIp('fd00:0:0:1::', 6);
const MTU = 1472;

let maps: Record<keyof typeof MAPS, BpfMap>;
let tables: Tables;
let external: number;

const ip = (...args: string[]) => execFileSync('nsenter', [`--net=${netns}`, 'ip', ...args], { encoding: 'utf8' });

beforeAll(() => {
  createNetns(netns);
  ip('link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth1');
  ip('addr', 'add', '192.0.2.1/24', 'dev', 'eth0');
  for (const device of ['lo', 'eth0', 'eth1']) ip('link', 'set', device, 'up');
  execFileSync('nsenter', [`--net=${netns}`, 'sysctl', '-qw', 'net.ipv4.conf.eth0.forwarding=1']);
  external = Number.parseInt(ip('-o', 'link', 'show', 'eth0'), 10);
  for (const peer of ['192.0.2.2', '192.0.2.5']) ip('neigh', 'add', peer, 'lladdr', '02:00:00:00:00:02', 'dev', 'eth0');
  maps = Object.fromEntries(Object.entries(MAPS).map(([name, spec]) => [name, createMap(spec)])) as typeof maps;
  tables = new Tables(maps, MTU);
  const route = (subnet: string, peer: Ipv4) => ({ subnet: parsePrefix(subnet), peer });
  tables.begin([
    route('10.2.0.0/24', PEER),
    route('fd00:0:0:2::/64', PEER),
    route('10.3.0.0/24', OTHER), // whose link address nobody knows
    route('10.4.0.0/24', parseIp('198.51.100.1', 4)), // to which there is no route
    route('10.5.0.0/24', parseIp('192.0.2.5', 4)),
  ]);
});
afterAll(() => {
  for (const map of Object.values(maps ?? {})) map.close();
  deleteNetns(netns);
});

const count = (name: CounterName): number =>
  sumPerCpu(maps.totals.lookup(indexKey(0))!, COUNTERS_BYTES)[COUNTERS.indexOf(name)]!;

/** struct __sk_buff with the interface that the packet is of. */
function context(): Uint8Array {
  const bytes = new Uint8Array(SKB_BYTES);
  new DataView(bytes.buffer).setUint32(40, external, true);
  return bytes;
}

function framed(packet: Uint8Array, type: number): Uint8Array {
  const frame = new Uint8Array(14 + packet.length);
  putWord(frame, 12, type);
  frame.set(packet, 14);
  return frame;
}

const run = (program: BpfProgram, frame: Uint8Array) =>
  withNetns(netns, () => program.test(frame, { context: context() }));

describe('the sending program', () => {
  let program: BpfProgram;
  const load = (more: object = {}) =>
    loadProgram({
      type: 'tc',
      name: 'send',
      maps,
      code: sendProgram({
        linkHeader: 14,
        external,
        listen: LISTEN,
        port: PORT,
        ipv6: true,
        leavesChecksums: false,
        sources: { first: 49152, count: 16384 },
        ...more,
      }),
    });
  beforeAll(() => {
    program = load();
  });
  afterAll(() => program.close());
  const send = (packet: Uint8Array, of = program) => run(of, framed(packet, packet[0]! >> 4 === 6 ? 0x86dd : 0x0800));

  test.each([
    ['IPv4', ipv4Packet({ payload: new Uint8Array(100), tos: 0xb9 }), aged],
    ['IPv4 of the MTU', ipv4Packet({ payload: new Uint8Array(MTU - 20), dontFragment: true }), aged],
    ['IPv6', ipv6Packet({ payload: new Uint8Array(100) }), aged6],
  ])('encapsulates %s, one hop older', (_, packet, older) => {
    const { result, packet: frame } = send(packet);
    expect(result).toBe(REDIRECTED);
    const outer = frame.subarray(14);
    expect(internetChecksum(outer, 0, 20)).toBe(0);
    expect([word(outer, 0), word(outer, 2), word(outer, 6), word(outer, 8)]).toEqual([
      0x4500,
      packet.length + 28,
      0x4000,
      0x4011,
    ]);
    expect(Buffer.from(outer.subarray(12, 20)).toString('hex')).toBe('c0000201c0000202');
    expect(word(outer, 20)).toBeGreaterThanOrEqual(49152);
    expect([word(outer, 22), word(outer, 24), word(outer, 26)]).toEqual([8285, packet.length + 8, 0]);
    expect(outer.subarray(28)).toEqual(older(packet));
  });

  test('counts packets and bytes, altogether and of the peer', () => {
    const peer = () => sumPerCpu(maps.peers.lookup(Uint8Array.of(192, 0, 2, 2))!, 32).slice(0, 2);
    const [packets, bytes] = peer();
    const before = count('sentBytes');
    send(ipv4Packet({ payload: new Uint8Array(100) }));
    expect(peer()).toEqual([packets! + 1, bytes! + 120]);
    expect(count('sentBytes')).toBe(before + 120);
  });

  test('keeps a flow on one port, and spreads flows', () => {
    const portOf = (port: number) => {
      const payload = new Uint8Array(8);
      putWord(payload, 0, port);
      return word(send(ipv4Packet({ payload })).packet, 14 + 20);
    };
    expect(portOf(1)).toBe(portOf(1));
    expect(new Set(Array.from({ length: 50 }, (_, i) => portOf(i))).size).toBeGreaterThan(40);
    const single = load({ sources: { first: PORT, count: 1 } });
    expect(word(send(ipv4Packet(), single).packet, 14 + 20)).toBe(8285);
    single.close();
  });

  const bent = (bend: (packet: Uint8Array) => void, seal = true) => {
    const packet = ipv4Packet();
    bend(packet);
    return seal ? sealed(packet) : packet;
  };
  test.each<readonly [HandedOver, string, Uint8Array]>([
    ['not_ip', 'another version', bent((packet) => packet.fill(0x55, 0, 1))],
    ['ip_options', 'options', ipv4Packet({ options: Uint8Array.of(1, 1, 1, 1) })],
    ['ip_options', 'an extension header', ipv6Packet({ nextHeader: 44 })],
    ['fragment', 'a first fragment', ipv4Packet({ moreFragments: true })],
    ['fragment', 'a later fragment', ipv4Packet({ fragmentOffset: 8 })],
    ['malformed', 'a total length below what came', bent((packet) => putWord(packet, 2, 27))],
    ['malformed', 'a wrong checksum', bent((packet) => packet.fill(packet[10]! ^ 1, 10, 11), false)],
    ['ttl_expired', 'a TTL of 1', ipv4Packet({ ttl: 1 })],
    ['ttl_expired', 'a hop limit of 1', ipv6Packet({ hopLimit: 1 })],
    ['no_route', 'a subnet of nobody', ipv4Packet({ to: '10.9.0.1' })],
    ['no_route', 'an IPv6 subnet of nobody', ipv6Packet({ to: 'fd00:0:0:9::1' })],
    ['too_big', 'more than the MTU', ipv4Packet({ payload: new Uint8Array(MTU - 19) })],
    ['encapsulation_loop', 'a datagram to a peer', toPeer()],
    ['no_path', 'a peer without a route', ipv4Packet({ to: '10.4.0.1' })],
    ['no_neighbour', 'a peer that is not resolved', ipv4Packet({ to: '10.3.0.1' })],
  ])('leaves as it is, for %s: %s', (reason, _, packet) => {
    const before = count(`out ${reason}`);
    const { result, packet: after } = send(packet);
    expect(result).toBe(GO_ON);
    expect(after.subarray(14)).toEqual(packet);
    expect(count(`out ${reason}`)).toBe(before + 1);
  });

  test('leaves what is larger than the limit of a path', () => {
    tables.setLimit(PEER, 1000);
    expect(send(ipv4Packet({ payload: new Uint8Array(1000) })).result).toBe(GO_ON);
    expect(send(ipv4Packet({ payload: new Uint8Array(900) })).result).toBe(REDIRECTED);
    expect(send(ipv6Packet({ payload: new Uint8Array(1200) })).result).toBe(REDIRECTED); // up to 1280
    tables.setLimit(PEER, undefined);
    expect(send(ipv4Packet({ payload: new Uint8Array(1000) })).result).toBe(REDIRECTED);
  });

  test('leaves what is larger than the route to the peer carries', () => {
    ip('route', 'add', '192.0.2.2/32', 'dev', 'eth0', 'mtu', 'lock', '1000');
    expect(send(ipv4Packet({ payload: new Uint8Array(1000) })).result).toBe(GO_ON);
    ip('route', 'del', '192.0.2.2/32', 'dev', 'eth0');
    expect(send(ipv4Packet({ payload: new Uint8Array(1000) })).result).toBe(REDIRECTED);
  });

  test('leaves TCP and UDP to peers of which no program is known, where the link leaves checksums, and sends ICMP', () => {
    const careful = load({ leavesChecksums: true });
    const key = Uint8Array.of(192, 0, 2, 2);
    expect(send(ipv4Packet(), careful).result).toBe(GO_ON);
    expect(send(ipv4Packet({ protocol: 1 }), careful).result).toBe(REDIRECTED);
    maps.receivers.update(key, Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0));
    expect(send(ipv4Packet(), careful).result).toBe(REDIRECTED);
    maps.receivers.update(key, new Uint8Array(8));
    careful.close();
  });

  test('leaves IPv6 where the overlay has none', () => {
    const without = load({ ipv6: false });
    expect(send(ipv6Packet(), without).result).toBe(GO_ON);
    without.close();
  });

  function toPeer(): Uint8Array {
    const payload = new Uint8Array(8);
    putWord(payload, 2, 8285);
    return ipv4Packet({ to: '192.0.2.2', payload });
  }
});

describe('the receiving program', () => {
  let program: BpfProgram;
  const load = (more: object = {}) =>
    loadProgram({
      type: 'tc',
      name: 'receive',
      maps,
      code: receiveProgram({
        listen: LISTEN,
        port: PORT,
        filterPeers: true,
        own: OWN,
        own6: OWN6,
        delivery: {
          kind: 'pair',
          near: external,
          nearMac: Uint8Array.of(2, 0, 0, 0, 0, 1),
          farMac: Uint8Array.of(2, 0, 0, 0, 0, 2),
        },
        tellsFamily: true,
        leavesChecksums: true,
        ...more,
      }),
    });
  beforeAll(() => {
    program = load();
  });
  afterAll(() => program.close());

  interface Outer extends PacketFields {
    readonly port?: number;
    readonly checksum?: number;
  }
  const datagram = (inner: Uint8Array, { port = 8285, checksum = 0, ...fields }: Outer = {}) => {
    const payload = new Uint8Array(8 + inner.length);
    putWord(payload, 0, 40000);
    putWord(payload, 2, port);
    putWord(payload, 4, payload.length);
    putWord(payload, 6, checksum);
    payload.set(inner, 8);
    return ipv4Packet({ from: '192.0.2.2', to: '192.0.2.1', ...fields, payload });
  };
  const receive = (outer: Uint8Array, of = program) => run(of, framed(outer, 0x0800));
  const inner = (fields: PacketFields = {}) => ipv4Packet({ from: '10.2.0.2', to: '10.1.0.77', ...fields });
  const inner6 = (fields = {}) => ipv6Packet({ from: 'fd00:0:0:2::2', to: 'fd00:0:0:1::2', ...fields });

  test.each([
    ['IPv4', inner({ payload: new Uint8Array(100) }), aged, '0800'],
    ['a fragment', inner({ moreFragments: true }), aged, '0800'],
    ['IPv6', inner6({ payload: new Uint8Array(100) }), aged6, '86dd'],
  ])('takes %s out of its datagram, one hop older, addressed to the far end', (_, packet, older, type) => {
    const { result, packet: frame } = receive(datagram(packet));
    expect(result).toBe(REDIRECTED);
    expect(Buffer.from(frame.subarray(0, 14)).toString('hex')).toBe(`020000000002020000000001${type}`);
    expect(frame.subarray(14)).toEqual(older(packet));
  });

  test('passes a mark of congestion on to the packet inside, and drops one that would not understand it', () => {
    const marked = receive(datagram(inner({ tos: 2 }), { tos: 3 }));
    expect([marked.result, marked.packet[15]]).toEqual([REDIRECTED, 3]);
    expect(internetChecksum(marked.packet, 14, 20)).toBe(0);
    const marked6 = receive(datagram(inner6({ trafficClass: 1 }), { tos: 3 }));
    expect([marked6.result, marked6.packet[15]! >> 4]).toEqual([REDIRECTED, 3]);
    const before = count('dropped congested');
    expect(receive(datagram(inner(), { tos: 3 })).result).toBe(DROP);
    expect(count('dropped congested')).toBe(before + 1);
    expect(receive(datagram(inner({ tos: 1 }), { tos: 2 })).packet[15]).toBe(1);
  });

  test.each([
    ['another port', datagram(inner(), { port: 8286 })],
    ['another address', datagram(inner(), { to: '192.0.2.9' })],
    ['another protocol', datagram(inner(), { protocol: 6 })],
    ['outer options', datagram(inner(), { options: Uint8Array.of(1, 1, 1, 1) })],
  ])('lets all else go its way: %s', (_, outer) => {
    const before = sumPerCpu(maps.totals.lookup(indexKey(0))!, COUNTERS_BYTES);
    expect(receive(outer)).toEqual({ result: GO_ON, packet: framed(outer, 0x0800) });
    expect(sumPerCpu(maps.totals.lookup(indexKey(0))!, COUNTERS_BYTES)).toEqual(before);
  });

  const wrongTotal = inner();
  putWord(wrongTotal, 2, 29);
  const wrongSum = inner();
  wrongSum[10]! ^= 1;
  test.each<readonly [HandedOver, string, Uint8Array]>([
    ['fragment', 'a fragment of a datagram', datagram(inner(), { moreFragments: true })],
    ['malformed', 'a length that does not fit', datagram(sealed(wrongTotal))],
    ['malformed', 'a wrong checksum', datagram(wrongSum)],
    ['malformed', 'an empty datagram', datagram(new Uint8Array())],
    ['malformed', 'bytes after the packet', datagram(Uint8Array.from([...inner(), 0, 0]))],
    ['not_ip', 'another version', datagram(sealed(Uint8Array.from([0x55, ...inner().subarray(1)])))],
    ['ip_options', 'options', datagram(inner({ options: Uint8Array.of(1, 1, 1, 1) }))],
    ['ttl_expired', 'a TTL of 1', datagram(inner({ ttl: 1 }))],
    ['ttl_expired', 'a hop limit of 1', datagram(inner6({ hopLimit: 1 }))],
    ['unknown_peer', 'a stranger', datagram(inner(), { from: '192.0.2.9' })],
    ['spoofed_source', 'the source of another peer', datagram(inner({ from: '10.3.0.2' }))],
    ['spoofed_source', 'the source of nobody', datagram(inner({ from: '8.8.8.8' }))],
    ['spoofed_source', 'the source of this node', datagram(inner({ from: '10.1.0.0' }))],
    ['spoofed_source', 'the IPv6 source of this node', datagram(inner6({ from: 'fd00:0:0:1::' }))],
    ['spoofed_source', 'the IPv6 source of nobody', datagram(inner6({ from: '2001:db8::1' }))],
  ])('leaves as it is, for %s: %s', (reason, _, outer) => {
    const before = count(`in ${reason}`);
    expect(receive(outer)).toEqual({ result: GO_ON, packet: framed(outer, 0x0800) });
    expect(count(`in ${reason}`)).toBe(before + 1);
  });

  test('takes strangers and any source when the filter is off, but not this node’s', () => {
    const open = load({ filterPeers: false });
    expect(receive(datagram(inner({ from: '8.8.8.8' }), { from: '192.0.2.9' }), open).result).toBe(REDIRECTED);
    expect(receive(datagram(inner({ from: '10.1.0.0' })), open).result).toBe(GO_ON);
    open.close();
  });

  test('notes whether the last datagram of a peer came from a program', () => {
    const noted = () => maps.receivers.lookup(Uint8Array.of(192, 0, 2, 2))![0];
    receive(datagram(inner()));
    expect(noted()).toBe(1);
    receive(datagram(inner({ ttl: 1 }), { checksum: 7 }));
    expect(noted()).toBe(1); // an engine beside programs sends such packets, too
    receive(datagram(inner(), { checksum: 7 }));
    expect(noted()).toBe(0);
  });

  test('leaves a family that is off inside', () => {
    const without = load({ own6: undefined });
    expect(receive(datagram(inner6()), without).result).toBe(GO_ON);
    without.close();
  });

  test('gives packets to the device one by one where there is no pair', () => {
    const direct = load({ delivery: { kind: 'device', interfaceIndex: external } });
    expect(receive(datagram(inner()), direct).result).toBe(REDIRECTED);
    direct.close();
  });
});
