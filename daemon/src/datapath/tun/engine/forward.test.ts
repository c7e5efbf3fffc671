import { ipToBytes, parseIp } from '@flannel-ts/inet/ip';
import { parsePrefix } from '@flannel-ts/inet/prefix';
import fc from 'fast-check';
import { hex, ipv4Packet, type PacketFields, sealed } from '../../../../testing/engine/packets.ts';
import { ipv6Packet, type PacketFields6 } from '../../../../testing/engine/packets6.ts';
import { Control } from './control.ts';
import { judgeIncoming, judgeOutgoing, largestPacket, MAX_PAYLOAD } from './forward.ts';
import { HEADER4, HEADER6, headerOf } from './header.ts';
import { checkHeader, timeToLive } from './ipv4-header.ts';
import type { OwnAddresses } from './own-addresses.ts';
import { reasonOf } from './reasons.ts';
import { Tables } from './tables.ts';
import { Underlay } from './underlay.ts';

const ME = parseIp('10.1.0.0');
const OWN = { tunAddress: ME, tunAddress6: undefined };
const STRANGER = 0;
const MTU = 1472;

const control = new Control();
control.setRoutes(
  [
    ['10.2.0.0/24', '192.0.2.2'],
    ['10.3.0.0/24', '192.0.2.3'],
    ['10.5.0.0/24', '10.5.0.1'],
    // Begins with the bytes of the peer 192.0.2.2.
    ['c000:202::/64', '192.0.2.3'],
  ].map(([subnet, peer]) => ({ subnet: parsePrefix(subnet!), peer: parseIp(peer!) })),
);
const tables = new Tables(control.shared, new Underlay(4, 8285));
tables.refresh();
const [PEER, OTHER, INSIDE] = ['10.2.0.1', '10.3.0.1', '10.5.0.1'].map((ip) => tables.routes.lookup(parseIp(ip, 4)));

function outgoing(packet: Uint8Array, mtu = MTU) {
  const verdict = judgeOutgoing(packet, packet.length, headerOf(packet, packet.length, false), tables, mtu, OWN);
  return reasonOf(verdict) ?? verdict;
}

function incoming(fields: PacketFields, sender = PEER, filter = true) {
  const packet = ipv4Packet({ from: '10.2.0.2', to: '10.1.0.2', ...fields });
  const verdict = judgeIncoming(packet, packet.length, HEADER4, sender!, tables.routes, OWN, filter);
  return reasonOf(verdict) ?? packet;
}

describe('judgeOutgoing()', () => {
  test('gives the peer of the route and decrements the TTL', () => {
    const packet = ipv4Packet({ to: '10.3.0.255', ttl: 2 });
    expect(outgoing(packet)).toBe(OTHER);
    expect(timeToLive(packet)).toBe(1);
    expect(checkHeader(packet, packet.length)).toBe(0);
  });

  test('drops what has no route, and leaves it as it came', () => {
    const packet = ipv4Packet({ to: '10.4.0.1', ttl: 1 });
    const before = packet.slice();
    expect(outgoing(packet)).toBe('no_route');
    expect(packet).toEqual(before);
  });

  test('drops a TTL of 1 and of 0, and leaves the packet as it came', () => {
    for (const ttl of [0, 1]) {
      const packet = ipv4Packet({ ttl });
      const before = packet.slice();
      expect(outgoing(packet)).toBe('ttl_expired');
      expect(packet).toEqual(before);
    }
  });

  test('drops what is above the MTU and must not be fragmented', () => {
    const fields = { payload: new Uint8Array(1453), dontFragment: true };
    expect(outgoing(ipv4Packet(fields))).toBe('too_big');
    expect(outgoing(ipv4Packet(fields), 1473)).toBe(PEER);
    expect(outgoing(ipv4Packet({ ...fields, dontFragment: false }))).toBe(PEER);
  });

  test('drops what no datagram holds', () => {
    expect(outgoing(ipv4Packet({ payload: new Uint8Array(MAX_PAYLOAD - 20) }))).toBe(PEER);
    expect(outgoing(ipv4Packet({ payload: new Uint8Array(MAX_PAYLOAD - 19) }))).toBe('too_big');
  });

  test('drops what is above the limit of the path to its peer and must not be fragmented, and nothing to another peer', () => {
    control.setPathLimit(parseIp('192.0.2.2'), 1000);
    tables.refresh();
    const fields = { payload: new Uint8Array(981), dontFragment: true };
    expect(outgoing(ipv4Packet(fields))).toBe('too_big');
    expect(outgoing(ipv4Packet({ ...fields, payload: new Uint8Array(980) }))).toBe(PEER);
    expect(outgoing(ipv4Packet({ ...fields, dontFragment: false }))).toBe(PEER);
    expect(outgoing(ipv4Packet({ ...fields, to: '10.3.0.2' }))).toBe(OTHER);
    control.setPathLimit(parseIp('192.0.2.2'), undefined);
    tables.refresh();
    expect(outgoing(ipv4Packet(fields))).toBe(PEER);
  });

  test('passes an echo request of the node itself above the limit of a path, but not above the MTU', () => {
    const tunAddress6 = ipToBytes(parseIp('fd00:0:0:1::'));
    const passes = (packet: Uint8Array): boolean => {
      const header = headerOf(packet, packet.length, true);
      return judgeOutgoing(packet, packet.length, header, tables, MTU, { tunAddress: ME, tunAddress6 }) > 0;
    };
    const message = (type: number, length: number) => Uint8Array.from([type, ...new Uint8Array(length - 1)]);
    const packet4 = (fields: PacketFields) =>
      ipv4Packet({ from: '10.1.0.0', protocol: 1, payload: message(8, 1400), dontFragment: true, ...fields });
    const packet6 = (fields: PacketFields6) =>
      ipv6Packet({ from: 'fd00:0:0:1::', to: 'c000:202::1', nextHeader: 58, payload: message(128, 1400), ...fields });
    for (const address of ['192.0.2.2', '192.0.2.3']) control.setPathLimit(parseIp(address), 1000);
    tables.refresh();
    expect([packet4({}), packet6({})].map(passes)).toEqual([true, true]);
    const others4: PacketFields[] = [
      { from: '10.1.0.1' },
      { protocol: 17 },
      { payload: message(0, 1400) },
      { payload: message(8, 1453) },
    ];
    expect(others4.map((fields) => passes(packet4(fields)))).toEqual([false, false, false, false]);
    const others6: PacketFields6[] = [
      { from: 'fd00:0:0:1::1' },
      { nextHeader: 17 },
      { payload: message(129, 1400) },
      { payload: message(128, 1433) },
    ];
    expect(others6.map((fields) => passes(packet6(fields)))).toEqual([false, false, false, false]);
    for (const address of ['192.0.2.2', '192.0.2.3']) control.setPathLimit(parseIp(address), undefined);
    tables.refresh();
  });

  test('drops a datagram to a peer, whole or a fragment, that the kernel routed back to the device', () => {
    const datagram = (port: number, more: PacketFields = {}): Uint8Array =>
      ipv4Packet({ to: '10.5.0.1', payload: Uint8Array.of(0x20, 0x5d, port >> 8, port, 0, 8, 0, 0), ...more });
    expect(outgoing(datagram(8285))).toBe('encapsulation_loop');
    expect(outgoing(datagram(8285, { moreFragments: true }))).toBe('encapsulation_loop');
    expect(outgoing(datagram(53, { fragmentOffset: 100 }))).toBe('encapsulation_loop');
    // Packets of pods.
    expect(outgoing(datagram(53))).toBe(INSIDE);
    expect(outgoing(datagram(8285, { to: '10.5.0.2' }))).toBe(INSIDE);
    expect(outgoing(datagram(8285, { to: '10.2.0.2' }))).toBe(PEER);
    expect(outgoing(datagram(8285, { protocol: 6 }))).toBe(INSIDE);
  });

  test('takes for its own datagram only what the packet itself holds', () => {
    const padded = (total: number): Uint8Array => {
      const packet = ipv4Packet({ to: '10.5.0.1', payload: Uint8Array.of(0x20, 0x5d, 0x20, 0x5d) });
      packet[3] = total;
      return sealed(packet);
    };
    expect(outgoing(padded(24))).toBe('encapsulation_loop');
    expect(outgoing(padded(23))).toBe(INSIDE);
  });

  test('does not take a packet of the other family for its own datagram', () => {
    const payload = Uint8Array.of(0x20, 0x5d, 0x20, 0x5d, 0, 8, 0, 0);
    const packet = ipv6Packet({ to: 'c000:202::1', payload });
    expect(judgeOutgoing(packet, packet.length, HEADER6, tables, MTU, OWN)).toBe(OTHER);
  });

  test('drops an IPv6 packet before it looks for a route', () => {
    const solicitation = hex(`6000 0000 0008 3aff fe80 0000 0000 0000 0000 0000 0000 0001
      ff02 0000 0000 0000 0000 0000 0000 0002 8500 7bb8 0000 0000`);
    expect(outgoing(solicitation)).toBe('not_ipv4');
  });
});

describe('judgeIncoming()', () => {
  test('passes a packet of a peer and decrements the TTL', () => {
    const packet = incoming({ ttl: 9 }) as Uint8Array;
    expect(timeToLive(packet)).toBe(8);
    expect(checkHeader(packet, packet.length)).toBe(0);
  });

  test("passes the addresses that flannel's nodes use themselves: the subnet's first two", () => {
    // flannel0 has the subnet's base as its address, cni0 the next one; masqueraded traffic comes from the first.
    for (const from of ['10.2.0.0', '10.2.0.1', '10.2.0.255']) expect(incoming({ from })).toBeInstanceOf(Uint8Array);
  });

  test('drops what comes from no peer', () => {
    expect(incoming({}, STRANGER)).toBe('unknown_peer');
  });

  test("drops a source outside of the sender's subnets", () => {
    for (const from of ['10.3.0.2', '10.1.0.2', '8.8.8.8', '192.0.2.2'])
      expect(incoming({ from })).toBe('spoofed_source');
    expect(incoming({ from: '10.3.0.2' }, OTHER)).toBeInstanceOf(Uint8Array);
  });

  test('passes strangers and other sources without the filter', () => {
    expect(incoming({}, STRANGER, false)).toBeInstanceOf(Uint8Array);
    expect(incoming({ from: '8.8.8.8' }, PEER, false)).toBeInstanceOf(Uint8Array);
  });

  test('drops the own address as source, with and without the filter', () => {
    for (const filter of [true, false]) expect(incoming({ from: '10.1.0.0' }, PEER, filter)).toBe('spoofed_source');
  });

  test('drops a TTL of 1 and of 0', () => {
    for (const ttl of [0, 1]) expect(incoming({ ttl })).toBe('ttl_expired');
  });

  test('drops the own IPv6 address as source, and no other one', () => {
    const own = { tunAddress: undefined, tunAddress6: ipToBytes(parseIp('fd00:0:0:1::')) };
    const verdict = (from: string, addresses: OwnAddresses = own) => {
      const packet = ipv6Packet({ from });
      return reasonOf(judgeIncoming(packet, packet.length, HEADER6, PEER!, tables.routes, addresses, false));
    };
    expect(verdict('fd00:0:0:1::')).toBe('spoofed_source');
    expect(verdict('fd00:0:0:1::1')).toBeUndefined();
    expect(verdict('fd00:0:0:1::', OWN)).toBeUndefined();
  });

  test('passes a packet above the MTU: the kernel has the next word on it', () => {
    expect(incoming({ payload: new Uint8Array(9000), dontFragment: true })).toBeInstanceOf(Uint8Array);
  });

  test('gives a verdict on any bytes, and changes nothing but TTL and checksum', () => {
    const bytes = fc.uint8Array({ maxLength: 100 });
    fc.assert(
      fc.property(bytes, fc.boolean(), (packet, filter) => {
        const before = packet.slice();
        const verdict = judgeIncoming(packet, packet.length, HEADER4, PEER!, tables.routes, OWN, filter);
        if (verdict < 0) return expect(packet).toEqual(before);
        expect([...packet.subarray(0, 8), ...packet.subarray(12)]).toEqual([
          ...before.subarray(0, 8),
          ...before.subarray(12),
        ]);
      }),
    );
  });
});

test('largestPacket() is never below the MTU that every IPv6 link supports', () => {
  expect([0, 1000, 1400, 9000].map((limit) => largestPacket(limit, 1472, 4))).toEqual([1472, 1000, 1400, 1472]);
  expect([0, 1000, 1400, 9000].map((limit) => largestPacket(limit, 1472, 6))).toEqual([1472, 1280, 1400, 1472]);
  expect(largestPacket(500, 1000, 6)).toBe(1000);
});
