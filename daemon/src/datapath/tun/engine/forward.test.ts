import { parseIp } from '@flannel-ts/inet/ip';
import { parsePrefix } from '@flannel-ts/inet/prefix';
import fc from 'fast-check';
import { hex, ipv4Packet, type PacketFields } from '../../../../testing/engine/packets.ts';
import { judgeIncoming, judgeOutgoing, MAX_PAYLOAD } from './forward.ts';
import { checkHeader, timeToLive } from './packet.ts';
import { RouteTable } from './peers.ts';
import { reasonOf } from './reasons.ts';

const ME = parseIp('10.1.0.0');
const PEER = 0x1_0000;
const OTHER = 0x1_0001;
const STRANGER = 0;
const ROUTES = new RouteTable([
  { ...parsePrefix('10.2.0.0/24'), peer: PEER },
  { ...parsePrefix('10.3.0.0/24'), peer: OTHER },
]);

function outgoing(packet: Uint8Array, mtu = 1472) {
  const verdict = judgeOutgoing(packet, packet.length, ROUTES, mtu);
  return reasonOf(verdict) ?? verdict;
}

function incoming(fields: PacketFields, sender = PEER, filter = true) {
  const packet = ipv4Packet({ from: '10.2.0.2', to: '10.1.0.2', ...fields });
  const verdict = judgeIncoming(packet, packet.length, sender, ROUTES, ME, filter);
  return reasonOf(verdict) ?? packet;
}

describe('judgeOutgoing()', () => {
  test('gives the row of the route and decrements the TTL', () => {
    const packet = ipv4Packet({ to: '10.3.0.255', ttl: 2 });
    expect(outgoing(packet)).toBe(1);
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
    expect(outgoing(ipv4Packet(fields), 1473)).toBe(0);
    expect(outgoing(ipv4Packet({ ...fields, dontFragment: false }))).toBe(0);
  });

  test('drops what no datagram holds', () => {
    expect(outgoing(ipv4Packet({ payload: new Uint8Array(MAX_PAYLOAD - 20) }))).toBe(0);
    expect(outgoing(ipv4Packet({ payload: new Uint8Array(MAX_PAYLOAD - 19) }))).toBe('too_big');
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

  test('passes a packet above the MTU: the kernel has the next word on it', () => {
    expect(incoming({ payload: new Uint8Array(9000), dontFragment: true })).toBeInstanceOf(Uint8Array);
  });

  test('gives a verdict on any bytes, and changes nothing but TTL and checksum', () => {
    const bytes = fc.uint8Array({ maxLength: 100 });
    fc.assert(
      fc.property(bytes, fc.boolean(), (packet, filter) => {
        const before = packet.slice();
        const verdict = judgeIncoming(packet, packet.length, PEER, ROUTES, ME, filter);
        if (verdict < 0) return expect(packet).toEqual(before);
        expect([...packet.subarray(0, 8), ...packet.subarray(12)]).toEqual([
          ...before.subarray(0, 8),
          ...before.subarray(12),
        ]);
      }),
    );
  });
});
