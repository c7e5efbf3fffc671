import fc from 'fast-check';
import { bytes, udpPacket } from '../../../../testing/engine/fast/flows.ts';
import { Fast, PEER, Reference } from '../../../../testing/engine/fast/pair.ts';
import { ipv4Packet, type PacketFields } from '../../../../testing/engine/packets.ts';
import { ipv6Packet, type PacketFields6 } from '../../../../testing/engine/packets6.ts';
import { HEADER4, HEADER6 } from './header.ts';
import { sourceOf } from './source-port.ts';

const SOURCES = 16;
const TCP = 6;
const UDP = 17;
const SCTP = 132;
const ICMP = 1;

const port4 = (fields: PacketFields, sources = SOURCES): number => sourceOf(ipv4Packet(fields), HEADER4, sources);
const port6 = (fields: PacketFields6, sources = SOURCES): number => sourceOf(ipv6Packet(fields), HEADER6, sources);

/** Of a transport header, with some data behind it. */
function transport(from: number, to: number, data = 0): Uint8Array {
  return Uint8Array.from([from >>> 8, from & 255, to >>> 8, to & 255, ...bytes(20), ...bytes(data, from)]);
}

describe('sourceOf()', () => {
  const families = [
    ['IPv4', (protocol: number, payload: Uint8Array, sources?: number) => port4({ protocol, payload }, sources)],
    ['IPv6', (nextHeader: number, payload: Uint8Array, sources?: number) => port6({ nextHeader, payload }, sources)],
  ] as const;

  test.each(families)('spreads flows of %s evenly, whatever the number of ports', (_, port) => {
    for (const sources of [2, 3, 4, 7, 8, 16]) {
      for (const protocol of [TCP, UDP, SCTP]) {
        const flows = new Array<number>(sources).fill(0);
        for (let client = 0; client < 1600; client++) flows[port(protocol, transport(32768 + client, 443), sources)]!++;
        const fair = 1600 / sources;
        expect(Math.min(...flows)).toBeGreaterThan(fair * 0.7);
        expect(Math.max(...flows)).toBeLessThan(fair * 1.3);
      }
    }
  });

  test.each(families)('of a flow of %s looks at nothing that changes from packet to packet', (_, port) => {
    for (const protocol of [TCP, UDP]) {
      const ports = Array.from({ length: 100 }, (_, i) => port(protocol, transport(1000, 80, i)));
      expect(new Set(ports).size).toBe(1);
    }
    expect(port4({ ttl: 9, tos: 3, identification: 77, dontFragment: true })).toBe(port4({}));
    expect(port6({ hopLimit: 9, trafficClass: 3, flowLabel: 77 })).toBe(port6({}));
  });

  test('spreads pairs of hosts', () => {
    const pairs4 = Array.from({ length: 100 }, (_, i) => port4({ from: `10.1.0.${i}`, protocol: ICMP }));
    const pairs6 = Array.from({ length: 100 }, (_, i) => port6({ to: `fd00:0:0:2::${i}`, nextHeader: 58 }));
    for (const pairs of [pairs4, pairs6]) expect(new Set(pairs).size).toBeGreaterThan(SOURCES / 2);
  });

  test('is the same for all fragments of a datagram, whose ports are in the first one only', () => {
    for (let client = 0; client < 50; client++) {
      const first = port4({ moreFragments: true, payload: transport(client, 53) });
      for (const fragmentOffset of [1, 100, 8000]) {
        for (const moreFragments of [true, false]) expect(port4({ fragmentOffset, moreFragments })).toBe(first);
      }
      // A fragment's header, and the same behind one for the hop.
      const fragment = (offset: number) => Uint8Array.from([UDP, 0, offset >> 8, offset & 255, ...bytes(40, client)]);
      const first6 = port6({ nextHeader: 44, payload: fragment(1) });
      expect(port6({ nextHeader: 44, payload: fragment(0xfff8) })).toBe(first6);
      for (const nextHeader of [0, 43, 60]) {
        const behind = (offset: number) => Uint8Array.from([44, 0, 1, 4, 0, 0, 0, 0, ...fragment(offset)]);
        expect(port6({ nextHeader, payload: behind(0x80) })).toBe(port6({ nextHeader, payload: behind(1) }));
      }
    }
  });

  test('is 0 with one port', () => {
    for (let client = 0; client < 50; client++) expect(port4({ payload: transport(client, 53) }, 1)).toBe(0);
  });

  test('is that of the fast engine', () => {
    const packet = fc.record({
      protocol: fc.constantFrom(TCP, UDP, SCTP, ICMP, 47),
      from: fc.integer({ min: 0, max: 255 }).map((host) => `10.1.${host}.1`),
      moreFragments: fc.boolean(),
      fragmentOffset: fc.constantFrom(0, 0, 0, 8),
      options: fc.constantFrom(new Uint8Array(), new Uint8Array(8).fill(1)),
      payload: fc.uint8Array({ maxLength: 60 }),
    });
    const property = fc.property(packet, fc.integer({ min: 1, max: SOURCES }), (fields, sources) => {
      const [fast, reference] = [new Fast(undefined, {}, sources), new Reference(sources)];
      fast.out(Uint8Array.from([...new Uint8Array(10), ...ipv4Packet(fields)]));
      reference.out(ipv4Packet(fields));
      expect(fast.ports.sent).toEqual(reference.ports.sent);
      expect(fast.ports.sent).toMatchObject([{ source: port4(fields, sources) }]);
    });
    fc.assert(property, { numRuns: 200 });
  });

  test('of a packet above the limit of a path is that of all fragments which the engine makes of it', () => {
    const [fast, reference] = [new Fast(undefined, {}, SOURCES), new Reference(SOURCES)];
    const packet = udpPacket({ data: bytes(1400), dontFragment: false });
    const source = sourceOf(packet, HEADER4, SOURCES);
    for (const { control, forwarder } of [fast, reference]) {
      control.setPathLimit(PEER, 600);
      forwarder.refreshRoutes();
    }
    fast.out(Uint8Array.from([...new Uint8Array(10), ...packet]));
    reference.out(packet.slice());
    for (const { sent } of [fast.ports, reference.ports]) {
      expect(sent.map((datagram) => datagram.source)).toEqual([source, source, source]);
    }
  });
});
