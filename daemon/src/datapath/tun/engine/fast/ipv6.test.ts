import { parseIp } from '@flannel-ts/inet/ip';
import { parsePrefix } from '@flannel-ts/inet/prefix';
import fc from 'fast-check';
import { FakePorts } from '../../../../../testing/engine/fake-ports.ts';
import { bytes, FLAGS, tcpPacket, udpPacket } from '../../../../../testing/engine/fast/flows.ts';
import { type Flow6, flow6Packet, plain6, segment6, superPacket6 } from '../../../../../testing/engine/fast/flows6.ts';
import { MemoryPorts } from '../../../../../testing/engine/fast/memory-ports.ts';
import {
  ALL,
  bySource,
  CONFIG,
  OTHER_PEER,
  PEER,
  tablesOf,
  underlay,
} from '../../../../../testing/engine/fast/pair.ts';
import { segment, TCP, UDP } from '../../../../../testing/engine/fast/segment.ts';
import { icmp6Packet, ipv6Packet } from '../../../../../testing/engine/packets6.ts';
import { Control } from '../control.ts';
import type { EngineRoute } from '../engine.ts';
import { Forwarder } from '../reference/forwarder.ts';
import { FastForwarder } from './forwarder.ts';
import type { ForwarderConfig } from './state.ts';

const DUAL = { ...CONFIG, tunAddress6: parseIp('fd00:0:0:1::') };
const ROUTES: readonly EngineRoute[] = [
  { subnet: parsePrefix('10.2.0.0/24'), peer: PEER },
  { subnet: parsePrefix('10.3.0.0/24'), peer: OTHER_PEER },
  { subnet: parsePrefix('fd00:0:0:2::/64'), peer: PEER },
  { subnet: parsePrefix('fd00:0:0:3::/64'), peer: OTHER_PEER },
];

/** Source ports. */
const SOURCES = 3;

/** A read of the device, and the packets that it stands for. */
interface Read {
  readonly read: Uint8Array;
  readonly packets: readonly Uint8Array[];
}

const whole = (packet: Uint8Array): Read => ({ read: plain6(packet), packets: [packet] });
function cut(flow: Flow6, size: number, ecn = false): Read {
  const read = superPacket6(flow6Packet(flow), flow.protocol, size, ecn);
  return { read, packets: segment6(read, flow.protocol) };
}

/** What the kernel makes of a write. */
function delivered(written: Uint8Array): Uint8Array[] {
  if (written[0] === 0) return [written.subarray(10)];
  if (written[10]! >> 4 === 4) return segment(written);
  const [protocol, size] = [written[16]!, written[4]! | (written[5]! << 8)];
  const expected = superPacket6(written.subarray(10), protocol, size);
  expected[2] = 40 + (protocol === TCP ? (written[62]! >> 4) * 4 : 8);
  expected[3] = 0;
  expect(written).toEqual(expected);
  return segment6(written, protocol);
}

function controlled(): Control {
  const control = new Control();
  control.setRoutes(ROUTES);
  return control;
}

/** What both engines send, write and count after the same packets from the device and from peers. */
function both(
  reads: readonly Read[],
  datagrams: readonly (readonly [typeof PEER, Uint8Array])[] = [],
  config: ForwarderConfig = DUAL,
) {
  const controls = [controlled(), controlled()] as const;
  let fastPorts!: MemoryPorts;
  const open = (wasm: ConstructorParameters<typeof MemoryPorts>[0]) => {
    fastPorts = new MemoryPorts(wasm, SOURCES);
    return fastPorts;
  };
  const fast = new FastForwarder(open, config, ALL, tablesOf(controls[0]), () => 0);
  const ports = new FakePorts(SOURCES);
  const reference = new Forwarder(ports, config, controls[1].shared, underlay(), () => 0);
  fast.refreshRoutes();
  reference.refreshRoutes();
  fastPorts.tun.push(...reads.map(({ read }) => read.slice()));
  while (fast.egress.forward());
  ports.tun.push(...reads.flatMap(({ packets }) => packets.map((packet) => packet.slice())));
  while (reference.forwardOutgoing());
  for (const [sender, packet] of datagrams) {
    fastPorts.socket.push({ sender, bytes: packet.slice(), size: 0 });
    ports.socket.push([sender, packet.slice()]);
  }
  while (fast.ingress.forward());
  while (reference.forwardIncoming());
  expect(bySource(fastPorts.sent)).toEqual(bySource(ports.sent));
  expect(fastPorts.written.flatMap(delivered)).toEqual(ports.written);
  const { superPackets, segmentedSends, mergedWrites, abilities, ...rest } = controls[0].counters();
  expect(controls[1].counters()).toMatchObject(rest);
  const runs = fastPorts.written.map((bytes) => delivered(bytes).length);
  return { sent: ports.sent, written: ports.written, superPackets, segmentedSends, runs };
}

describe('the fast engine with IPv6', () => {
  const tcp = (fields: Partial<Flow6> = {}): Flow6 => ({ protocol: TCP, data: bytes(5000), ...fields });
  const cases: Record<string, Read[]> = {
    'a TCP super-packet': [cut(tcp({ data: bytes(60_000), sequence: 0xffff_fc00 }), 1400)],
    'a short tail of odd length': [cut(tcp({ data: bytes(2801) }), 1400)],
    'FIN and PSH on the last segment, CWR on the first': [
      cut(tcp({ flags: FLAGS.ack | FLAGS.psh | FLAGS.fin | FLAGS.cwr }), 1000, true),
    ],
    'TCP options': [cut(tcp({ tcpOptions: bytes(12) }), 1388)],
    'a USO super-packet': [cut({ protocol: UDP, data: bytes(9000) }, 1200)],
    'an extension header before the transport header': [
      cut(tcp({ extensions: Uint8Array.of(TCP, 0, 1, 4, 0, 0, 0, 0) }), 1000),
    ],
    'unfinished checksums': [cut(tcp({ data: bytes(101) }), 0), cut({ protocol: UDP, data: bytes(7) }, 0)],
    'packets to several peers, of both families, and some that are answered': [
      whole(ipv6Packet()),
      whole(udpPacket({ data: bytes(50) })),
      cut(tcp({ to: 'fd00:0:0:3::9' }), 1400),
      whole(ipv6Packet({ to: 'fd00:0:0:9::1' })),
      whole(ipv6Packet({ hopLimit: 1 })),
      whole(ipv6Packet({ payload: new Uint8Array(1433) })),
      whole(icmp6Packet(1, { to: 'fd00:0:0:9::1' })),
      whole(ipv6Packet().subarray(0, 47)),
      whole(Uint8Array.of(0x60)),
    ],
  };

  test.each(Object.entries(cases))('sends %s as the reference engine sends its segments', (_, reads) => {
    both(reads);
  });

  test('sends the segments of a super-packet in few messages', () => {
    const { sent, segmentedSends } = both([cut(tcp({ data: bytes(42_000) }), 1400)]);
    expect([sent.length, segmentedSends]).toEqual([30, 1]);
  });

  test('takes and refuses what peers send as the reference engine does', () => {
    const from = (address: string, more: object = {}) => ipv6Packet({ from: address, to: 'fd00:0:0:1::2', ...more });
    const { written } = both(
      [],
      [
        [PEER, from('fd00:0:0:2::2')],
        [PEER, udpPacket({ from: '10.2.0.2', to: '10.1.0.2' })],
        [PEER, from('fd00:0:0:3::2')],
        [OTHER_PEER, from('fd00:0:0:3::2', { payload: bytes(1300) })],
        [PEER, from('fd00:0:0:1::')],
        [PEER, from('fd00:0:0:2::2', { hopLimit: 1 })],
        [PEER, from('fd00:0:0:2::2').subarray(0, 39)],
        [(PEER + 99) as typeof PEER, from('fd00:0:0:2::2')],
      ],
    );
    expect(written).toHaveLength(3);
  });

  test('sends no error for dropped IPv4 packets where IPv4 is off inside, and goes on with IPv6', () => {
    const { tunAddress, ...six } = DUAL;
    const lost = [{ to: '10.9.0.1' }, { to: '10.2.0.1', ttl: 1 }].map((fields) => whole(udpPacket(fields)));
    const expired = udpPacket({ from: '10.2.0.2', to: '10.1.0.2', ttl: 1 });
    const { sent, written } = both([...lost, whole(ipv6Packet())], [[PEER, expired]], six);
    expect([sent.length, written.length]).toEqual([1, 0]);
  });

  describe('merges what peers send', () => {
    const there = { from: 'fd00:0:0:2::2', to: 'fd00:0:0:1::2' };
    const flow = (index: number, fields: Partial<Flow6> = {}): Uint8Array =>
      flow6Packet({ protocol: TCP, sequence: index * 1000, data: bytes(1000, index * 1000), ...there, ...fields });
    const arrive = (...packets: Uint8Array[]) =>
      both(
        [],
        packets.map((packet) => [PEER, packet] as const),
      ).runs;

    test('TCP, up to a short last packet or a PSH', () => {
      expect(arrive(flow(0), flow(1), flow(2, { data: bytes(7) }), flow(3))).toEqual([3, 1]);
      expect(arrive(flow(0), flow(1, { flags: FLAGS.ack | FLAGS.psh }), flow(2), flow(3))).toEqual([2, 2]);
      expect(arrive(flow(0, { tcpOptions: bytes(12) }), flow(1, { tcpOptions: bytes(12) }))).toEqual([2]);
    });

    test('UDP of one length', () => {
      const datagram = (length: number) => flow6Packet({ protocol: UDP, data: bytes(length), ...there });
      expect(arrive(datagram(500), datagram(500), datagram(80), datagram(500))).toEqual([3, 1]);
    });

    test('but nothing that the kernel could not cut again', () => {
      expect(arrive(flow(0), flow(2))).toEqual([1, 1]);
      expect(arrive(flow(0), flow(1, { hopLimit: 9 }))).toEqual([1, 1]);
      expect(arrive(flow(0), flow(1, { trafficClass: 1 }))).toEqual([1, 1]);
      expect(arrive(flow(0), flow(1, { to: 'fd00:0:0:1::3' }))).toEqual([1, 1]);
      expect(arrive(flow(0), flow(1, { flags: FLAGS.ack | FLAGS.fin }))).toEqual([1, 1]);
      const extensions = Uint8Array.of(TCP, 0, 1, 4, 0, 0, 0, 0);
      expect(arrive(flow(0, { extensions }), flow(1, { extensions }))).toEqual([1, 1]);
      const wrong = flow(1);
      wrong[70]! ^= 1;
      expect(arrive(flow(0), wrong)).toEqual([1, 1]);
    });

    test('never into what a packet of another kind has passed', () => {
      expect(arrive(flow(0), flow(1, { flags: FLAGS.ack | FLAGS.urg }), flow(1))).toEqual([1, 1, 1]);
      const old = tcpPacket({ from: '10.2.0.2', to: '10.1.0.2', data: bytes(1000) });
      expect(arrive(old, flow(0), flow(1))).toEqual([1, 2]);
    });
  });

  test('chooses the source port as the reference engine, whatever headers there are', () => {
    const packet = fc.record({
      nextHeader: fc.constantFrom(TCP, UDP, 132, 58, 59, 0, 43, 44, 60),
      from: fc.integer({ min: 0, max: 0xffff }).map((host) => `fd00:0:0:1::${host.toString(16)}`),
      payload: fc.uint8Array({ maxLength: 60 }),
    });
    fc.assert(
      fc.property(fc.array(packet, { minLength: 1, maxLength: 10 }), (packets) => {
        both(packets.map((fields) => whole(ipv6Packet(fields))));
      }),
      { numRuns: 100 },
    );
  });

  test('agrees with the reference engine on any sizes', () => {
    const flow = fc.record({
      protocol: fc.constantFrom(TCP, UDP),
      data: fc.integer({ min: 1, max: 20_000 }).map((length) => bytes(length)),
      flags: fc.integer({ min: 0, max: 255 }),
      sequence: fc.integer({ min: 0, max: 0xffff_ffff }),
      // Of what it refuses the fast engine answers a super-packet once, not each of its parts.
      hopLimit: fc.integer({ min: 2, max: 255 }),
      trafficClass: fc.integer({ min: 0, max: 255 }),
    });
    fc.assert(
      fc.property(fc.array(fc.tuple(flow, fc.integer({ min: 100, max: 1400 })), { maxLength: 5 }), (flows) => {
        both(flows.map(([fields, size]) => cut(fields, size)));
      }),
      { numRuns: 60 },
    );
  });
});
