import { formatIp } from '@flannel-ts/inet/ip';
import { EAGAIN, EINVAL, EIO, EMSGSIZE } from '@flannel-ts/linux/errno';
import fc from 'fast-check';
import { icmpError } from '../../../../../testing/engine/compliance/bench.ts';
import { bytes, FLAGS, tcpPacket, udpPacket } from '../../../../../testing/engine/fast/flows.ts';
import { ALL, Fast, OTHER_PEER, PEER, Reference } from '../../../../../testing/engine/fast/pair.ts';
import { segment, superPacket } from '../../../../../testing/engine/fast/segment.ts';
import { ipv4Packet, type PacketFields } from '../../../../../testing/engine/packets.ts';
import { address } from '../ipv4-header.ts';
import { RETRY_MS } from './paths.ts';

const VNET = new Uint8Array(10);

/** A packet of its own, behind an empty virtio header. */
function plain(packet: Uint8Array): Uint8Array {
  return Uint8Array.from([...VNET, ...packet]);
}

/** Both engines read the same; the reference one what the kernel would have segmented for it. */
function both(reads: readonly Uint8Array[]): { fast: Fast; reference: Reference } {
  const [fast, reference] = [new Fast(), new Reference()];
  reference.out(...reads.flatMap(segment));
  fast.out(...reads.map((read) => read.slice()));
  return { fast, reference };
}

function expectEqual({ fast, reference }: ReturnType<typeof both>): void {
  expect(fast.ports.sent).toEqual(reference.ports.sent);
  const { superPackets, segmentedSends, mergedWrites, offloadFallbacks, lastErrno, abilities, ...rest } = fast.counters;
  expect(reference.counters).toMatchObject(rest);
}

describe('egress', () => {
  const cases: Record<string, Uint8Array[]> = {
    'a TCP super-packet': [superPacket(tcpPacket({ data: bytes(60_000), identification: 0xfffe }), 1420)],
    'sequence numbers that wrap': [superPacket(tcpPacket({ data: bytes(5000), sequence: 0xffff_fc00 }), 1420)],
    'a short tail of odd length': [superPacket(tcpPacket({ data: bytes(2841) }), 1420)],
    'odd sizes': [superPacket(tcpPacket({ data: bytes(1000) }), 77)],
    'FIN and PSH only on the last segment': [
      superPacket(tcpPacket({ data: bytes(3000), flags: FLAGS.ack | FLAGS.psh | FLAGS.fin }), 1000),
    ],
    'CWR only on the first segment': [
      superPacket(tcpPacket({ data: bytes(3000), flags: FLAGS.ack | FLAGS.cwr | FLAGS.ece, tos: 2 }), 1000, true),
    ],
    'TCP and IPv4 options': [
      superPacket(tcpPacket({ data: bytes(3000), tcpOptions: bytes(12), options: new Uint8Array(8).fill(1) }), 1000),
    ],
    'a USO super-packet': [superPacket(udpPacket({ data: bytes(9000) }), 1200)],
    'an unfinished checksum': [
      superPacket(tcpPacket({ data: bytes(100) }), 0),
      superPacket(udpPacket({ data: bytes(7) }), 0),
    ],
    'more segments than a message holds': [superPacket(tcpPacket({ data: bytes(65_000) }), 100)],
    'plain packets between super-packets': [
      plain(udpPacket({ data: bytes(50) })),
      superPacket(tcpPacket({ data: bytes(4000) }), 1420),
      plain(tcpPacket({ to: '10.3.0.2' })),
      plain(udpPacket({ data: bytes(50) })),
    ],
  };

  test.each(Object.entries(cases))('sends %s as the reference engine sends its segments', (_, reads) => {
    expectEqual(both(reads));
  });

  const fragmented: Record<string, Uint8Array[]> = {
    'a plain packet': [plain(udpPacket({ data: bytes(1400), dontFragment: false }))],
    'a packet of exactly the limit, and one more byte': [
      plain(udpPacket({ data: bytes(572), dontFragment: false })),
      plain(udpPacket({ data: bytes(573), dontFragment: false })),
    ],
    'an unfinished checksum': [superPacket(udpPacket({ data: bytes(1400), dontFragment: false }), 0)],
    'a TCP super-packet': [superPacket(tcpPacket({ data: bytes(60_000), dontFragment: false }), 1420)],
    'a USO super-packet': [superPacket(udpPacket({ data: bytes(9000), dontFragment: false }), 1200)],
    'a fragment': [plain(ipv4Packet({ payload: bytes(1400), moreFragments: true, fragmentOffset: 100 }))],
    'options, of which one is copied': [
      plain(ipv4Packet({ payload: bytes(1400), options: Uint8Array.of(0x82, 3, 9, 7, 3, 9, 1, 0) })),
    ],
  };

  test.each(Object.entries(fragmented))(
    'fragments %s above the limit of a path as the reference engine',
    (_, reads) => {
      const [fast, reference] = [new Fast(), new Reference()];
      for (const { control, forwarder } of [fast, reference]) {
        control.setPathLimit(PEER, 600);
        forwarder.refreshRoutes();
      }
      reference.out(...reads.flatMap(segment));
      fast.out(...reads.map((read) => read.slice()));
      expectEqual({ fast, reference });
      expect(Math.max(...fast.ports.sent.map(({ packet }) => packet.length))).toBeLessThanOrEqual(600);
      expect(fast.ports.sent.length).toBeGreaterThan(reads.length);
    },
  );

  test('a UDP checksum that comes out as 0 is sent as 0xffff', () => {
    // Two bytes of payload that bring the sum to 0xffff.
    for (let word = 0; word < 65536; word++) {
      const packet = udpPacket({ data: Uint8Array.of(word >> 8, word) });
      if (packet[26] !== 0xff || packet[27] !== 0xff) continue;
      expectEqual(both([superPacket(packet, 0), superPacket(packet, 2)]));
      return;
    }
    throw new Error('There is no such payload');
  });

  test('packs segments of one length for one peer into a message', () => {
    const { fast } = both([
      superPacket(tcpPacket({ data: bytes(2000) }), 1000),
      superPacket(tcpPacket({ data: bytes(2500) }), 1000),
      plain(udpPacket({ to: '10.3.0.2' })),
      plain(udpPacket()),
    ]);
    expect(fast.ports.messages).toEqual([5, 1, 1]);
    expect(fast.ports.sent.slice(5).map(({ peer }) => peer)).toEqual([OTHER_PEER, PEER]);
  });

  test('takes at most 64 segments into a message', () => {
    const { fast } = both(Array.from({ length: 130 }, () => plain(udpPacket({ data: bytes(8) }))));
    expect(Math.max(...fast.ports.messages)).toBe(64);
  });

  test('answers a super-packet whose segments are above the MTU', () => {
    const fast = new Fast();
    fast.out(superPacket(tcpPacket({ data: bytes(9000) }), 4000));
    expect(icmpError(fast.ports.written[0]!.subarray(10))).toMatchObject({ type: 3, code: 4, mtu: 1472 });
    expect(fast.counters).toMatchObject({ tunPackets: 3, dropped: { too_big: 3 } });
  });

  test('random reads come out as the reference engine sends them', () => {
    const packet = fc.record({
      tcp: fc.boolean(),
      data: fc.integer({ min: 0, max: 6000 }),
      // Above the MTU a super-packet is dropped whole, also a short last segment that alone would pass.
      size: fc.integer({ min: 1, max: 1400 }),
      super: fc.boolean(),
      to: fc.constantFrom('10.2.0.2', '10.3.0.2', '10.9.0.2'),
      ttl: fc.constantFrom(64, 64, 64, 2, 1),
      dontFragment: fc.boolean(),
      flags: fc.constantFrom(16, 24, 17, 2, 4, 80, 208),
    });
    const property = fc.property(fc.array(packet, { maxLength: 20 }), (list) => {
      const reads = list.map(({ tcp, data, size, super: merged, ...fields }) => {
        const made = (tcp ? tcpPacket : udpPacket)({ ...fields, data: bytes(data) });
        const cut = merged && data > size && data / size < 200;
        return cut ? superPacket(made, size) : plain(made);
      });
      const { fast, reference } = both(reads);
      expect(fast.ports.sent).toEqual(reference.ports.sent);
      expect(fast.counters.dropped).toEqual(reference.counters.dropped);
      expect(fast.counters.tunBytes).toBe(reference.counters.tunBytes);
    });
    fc.assert(property, { numRuns: 150 });
  });

  test('random bytes do no harm, and nothing of them goes out that the reference engine would drop', () => {
    const read = fc.tuple(fc.constantFrom(0, 1, 3, 4, 5, 0x81), fc.uint8Array({ maxLength: 120 }), fc.boolean());
    const property = fc.property(fc.array(read, { maxLength: 10 }), (list) => {
      const fast = new Fast();
      fast.out(
        ...list.map(([type, noise, flagged]) => {
          const bent = tcpPacket({ data: bytes(300) });
          bent.set(noise.subarray(0, 60), noise.length % 40);
          const vnet = Uint8Array.of(flagged ? 1 : 0, type, ...noise.subarray(0, 8));
          return Uint8Array.from([...vnet, ...new Uint8Array(10 - vnet.length), ...bent]);
        }),
      );
      for (const { packet } of fast.ports.sent) {
        const reference = new Reference();
        reference.ports.tun.push(packet);
        reference.forwarder.forwardOutgoing();
        expect(reference.counters.dropped).toMatchObject({ malformed: 0, bad_checksum: 0, too_short: 0, no_route: 0 });
      }
    });
    fc.assert(property, { numRuns: 150 });
  });
});

describe('egress on errors', () => {
  const burst = superPacket(tcpPacket({ data: bytes(5000) }), 1000);
  const whole = (): Reference => {
    const reference = new Reference();
    reference.out(...segment(burst));
    return reference;
  };

  const toOther = superPacket(tcpPacket({ to: '10.3.0.2', data: bytes(5000) }), 1000);
  const small = superPacket(tcpPacket({ data: bytes(2500) }), 500);
  const pathOf = (fast: Fast, peer = PEER) => fast.counters.peers.get(peer)!.path;

  test.each([
    ['EMSGSIZE', EMSGSIZE, 90],
    ['EINVAL', EINVAL, 22],
  ])(
    'sends the packets of a message refused with %s alone, from then on to that peer and from that size on',
    async (...[, error, errno]) => {
      const fast = new Fast();
      fast.ports.sendErrors.push(error);
      fast.out(burst.slice());
      expect(fast.ports.sent).toEqual(whole().ports.sent);
      fast.ports.messages.length = 0;
      fast.out(burst.slice(), small.slice(), toOther.slice());
      expect(fast.ports.messages).toEqual([1, 1, 1, 1, 1, 5, 5]);
      expect(fast.counters).toMatchObject({ offloadFallbacks: 0, sentPackets: 20, lastErrno: 0 });
      expect(pathOf(fast)).toEqual({ limit: 0, unsegmentedFrom: 1040, fallbacks: 1, lastErrno: errno });
      expect(pathOf(fast, OTHER_PEER)).toEqual({ limit: 0, unsegmentedFrom: 0, fallbacks: 0, lastErrno: 0 });
    },
  );

  test('sends no packets together to a peer after EIO, which no size avoids, and to others as before', () => {
    const fast = new Fast();
    fast.ports.sendErrors.push(EIO);
    fast.out(burst.slice());
    fast.ports.messages.length = 0;
    fast.out(small.slice(), toOther.slice());
    expect(fast.ports.messages).toEqual([1, 1, 1, 1, 1, 5]);
    expect(pathOf(fast)).toMatchObject({ unsegmentedFrom: 1, lastErrno: 5 });
  });

  test('tries to send together again after a while', () => {
    const fast = new Fast();
    fast.ports.sendErrors.push(EMSGSIZE);
    fast.out(burst.slice());
    fast.clock.now += RETRY_MS - 1;
    fast.ports.messages.length = 0;
    fast.out(burst.slice());
    fast.clock.now += 1;
    fast.out(burst.slice());
    expect(fast.ports.messages).toEqual([1, 1, 1, 1, 1, 5]);
    expect(pathOf(fast)).toEqual({ limit: 0, unsegmentedFrom: 0, fallbacks: 1, lastErrno: 90 });
  });

  test('waits for room in the middle of a refused message, and loses nothing', () => {
    const fast = new Fast();
    fast.ports.sendErrors.push(EMSGSIZE, 1, 1, EAGAIN);
    fast.ports.tun.push(burst.slice(), toOther.slice());
    fast.forwarder.egress.forward();
    expect(fast.forwarder.egress.stalled).toBe(true);
    while (fast.forwarder.egress.forward());
    expect(fast.counters).toMatchObject({ sendStalls: 1, sentPackets: 10 });
    expect(fast.ports.messages).toEqual([1, 1, 1, 1, 1, 5]);
  });

  test('answers packets above the limit of a path, TCP super-packets too, and leaves other peers as they are', () => {
    const fast = new Fast();
    fast.control.setPathLimit(PEER, 1000);
    fast.forwarder.refreshRoutes();
    fast.out(burst.slice(), small.slice(), toOther.slice());
    expect(icmpError(fast.ports.written[0]!.subarray(10))).toMatchObject({ type: 3, code: 4, mtu: 1000 });
    expect(fast.counters).toMatchObject({ dropped: { too_big: 5 }, sentPackets: 10 });
    fast.control.setPathLimit(PEER, undefined);
    fast.forwarder.refreshRoutes();
    fast.out(burst.slice());
    expect(fast.counters).toMatchObject({ dropped: { too_big: 5 }, sentPackets: 15 });
  });

  test('sends an echo request of the node itself above the limit of a path', () => {
    const fast = new Fast();
    fast.control.setPathLimit(PEER, 1000);
    fast.forwarder.refreshRoutes();
    const probe = (fields: PacketFields, type = 8) =>
      plain(
        ipv4Packet({ protocol: 1, dontFragment: true, payload: Uint8Array.from([type, ...bytes(1399)]), ...fields }),
      );
    fast.out(probe({ from: '10.1.0.0' }));
    expect(fast.counters).toMatchObject({ sentPackets: 1, dropped: { too_big: 0 } });
    fast.out(probe({}), probe({ from: '10.1.0.0', protocol: 17 }), probe({ from: '10.1.0.0' }, 0));
    fast.out(probe({ from: '10.1.0.0', payload: Uint8Array.from([8, ...bytes(1452)]) }));
    expect(fast.counters).toMatchObject({ sentPackets: 1, dropped: { too_big: 4 } });
  });

  test('answers packets that are too big for the path, and goes on sending together', () => {
    const fast = new Fast();
    fast.ports.sendErrors.push(...new Array(6).fill(EMSGSIZE));
    fast.out(burst.slice());
    expect(fast.counters).toMatchObject({ offloadFallbacks: 0, dropped: { too_big: 5 }, icmpSent: 5 });
    expect(icmpError(fast.ports.written[0]!.subarray(10))).toMatchObject({ type: 3, code: 4, mtu: 1006 });
    fast.out(burst.slice());
    expect(fast.ports.messages).toEqual([5]);
  });

  test('waits while the socket has no room, and loses nothing', () => {
    const fast = new Fast();
    fast.ports.sendErrors.push(EAGAIN, EAGAIN);
    fast.ports.tun.push(burst.slice(), burst.slice());
    fast.forwarder.egress.forward();
    expect(fast.forwarder.egress.stalled).toBe(true);
    fast.forwarder.egress.forward();
    while (fast.forwarder.egress.forward());
    expect(fast.ports.sent).toHaveLength(10);
    expect(fast.counters).toMatchObject({ sendStalls: 1, sentPackets: 10 });
  });

  test('finish() sends what was read, whatever waits, and reads no more', () => {
    const fast = new Fast();
    // More than a plan holds: a super-packet of 1,250 segments waits for the next one.
    const large = superPacket(tcpPacket({ data: bytes(60_000) }), 48);
    fast.ports.tun.push(large.slice(), large.slice(), burst.slice());
    fast.ports.sendErrors.push(EAGAIN, EAGAIN);
    fast.forwarder.egress.forward();
    expect(fast.forwarder.egress.finish()).toBe(false);
    expect(fast.forwarder.egress.finish()).toBe(true);
    expect(fast.counters).toMatchObject({ tunPackets: 2500, sentPackets: 2500 });
    expect(fast.ports.tun).toHaveLength(1);
  });

  test('sends one by one without UDP_SEGMENT, and reads a plain device', () => {
    const fast = new Fast({ ...ALL, vnet: false, segment: false });
    fast.out(...segment(burst));
    expect(fast.ports.sent).toEqual(whole().ports.sent);
    expect(new Set(fast.ports.messages)).toEqual(new Set([1]));
  });
});

describe('egress from several source ports', () => {
  const SOURCES = 4;
  const FLOWS = 12;
  const VARIED = Array.from({ length: FLOWS }, (_, flow) => ({ from: `10.1.0.${2 + flow}` }));
  const several = () => new Fast(ALL, {}, SOURCES);
  const sourcesOf = (fast: Fast): number[] => fast.ports.sent.map(({ source }) => source);

  test('sends each flow from one of them, in order, with one call for each', () => {
    const fast = several();
    const sequences = [0, 1, 2, 3];
    fast.out(
      ...sequences.flatMap((sequence) =>
        VARIED.map((flow) => plain(udpPacket({ ...flow, data: Uint8Array.of(sequence) }))),
      ),
    );
    expect(new Set(sourcesOf(fast)).size).toBe(SOURCES);
    expect(sourcesOf(fast)).toEqual(sourcesOf(fast).toSorted((a, b) => a - b));
    for (const { from } of VARIED) {
      const own = fast.ports.sent.filter(({ packet }) => formatIp(address(packet, 12)) === from);
      expect(new Set(own.map(({ source }) => source)).size).toBe(1);
      expect(own.map(({ packet }) => packet[28])).toEqual(sequences);
    }
    expect(fast.counters).toMatchObject({ sentPackets: 48 });
    // What goes from one port to one peer, all of one length, is one message.
    expect(fast.ports.messages).toHaveLength(SOURCES);
  });

  test('packs segments of flows that take turns into a message for each port', () => {
    const fast = several();
    fast.out(...VARIED.map((flow) => superPacket(tcpPacket({ ...flow, data: bytes(4000) }), 1000)));
    expect(fast.ports.messages).toHaveLength(SOURCES);
    expect(fast.ports.sent).toHaveLength(FLOWS * 4);
  });

  test('while one socket has no room, nothing is read, and nothing is lost or sent twice', () => {
    const fast = several();
    fast.ports.tun.push(...VARIED.map((flow) => plain(udpPacket({ ...flow, data: bytes(20) }))));
    const more = plain(udpPacket());
    fast.ports.sendErrors.push(1, EAGAIN, EAGAIN);
    fast.ports.tun.push(more);
    fast.forwarder.egress.forward();
    const { egress } = fast.forwarder;
    expect(egress.stalled).toBe(true);
    const stalledOn = egress.source;
    expect(stalledOn).toBeGreaterThan(0);
    fast.ports.tun.push(more.slice());
    egress.forward();
    expect(fast.ports.tun).toHaveLength(1);
    while (egress.forward());
    expect(egress.stalled).toBe(false);
    expect(fast.counters).toMatchObject({ sendStalls: 1, sentPackets: FLOWS + 2 });
    expect(fast.ports.sent).toHaveLength(FLOWS + 2);
  });

  test('sends the packets of a refused message alone, from the port of their flow', () => {
    const fast = several();
    fast.ports.sendErrors.push(1, EMSGSIZE);
    fast.out(...VARIED.map((flow) => superPacket(tcpPacket({ ...flow, data: bytes(3000) }), 1000)));
    const expected = several();
    expected.out(...VARIED.map((flow) => superPacket(tcpPacket({ ...flow, data: bytes(3000) }), 1000)));
    expect(fast.ports.sent).toEqual(expected.ports.sent);
    expect(fast.ports.messages).toContain(1);
  });

  test('drops the messages of a peer that leaves while they wait', () => {
    const fast = several();
    fast.ports.tun.push(...VARIED.map((flow) => plain(udpPacket({ ...flow, data: bytes(20) }))));
    fast.ports.sendErrors.push(EAGAIN);
    fast.forwarder.egress.forward();
    fast.control.setRoutes([]);
    fast.forwarder.refreshRoutes();
    const lost = fast.counters.dropped.no_route;
    expect(lost).toBeGreaterThan(0);
    while (fast.forwarder.egress.forward());
    expect(fast.counters.sentPackets).toBe(FLOWS - lost);
  });
});
