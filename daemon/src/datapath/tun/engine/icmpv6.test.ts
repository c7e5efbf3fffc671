import { ipToBytes, parseIp } from '@flannel-ts/inet/ip';
import { MIN_IPV6_MTU } from '@flannel-ts/inet/mtu';
import { hex } from '../../../../testing/engine/packets.ts';
import { icmp6Packet, ipv6Packet } from '../../../../testing/engine/packets6.ts';
import { checksum6, deservesIcmpv6Error, writeIcmpv6Error } from './icmpv6.ts';
import { checkHeader6, totalLength6, upperLayer } from './ipv6-header.ts';
import { MALFORMED, PASS, TOO_SHORT } from './reasons.ts';
import { HOPS_EXCEEDED, NO_ROUTE_ERROR, tooBig } from './router-error.ts';

const FROM = ipToBytes(parseIp('fd00:0:0:1::'));

describe('writeIcmpv6Error()', () => {
  test('quotes as much as fits into 1280 bytes, with a right checksum', () => {
    const out = new Uint8Array(MIN_IPV6_MTU).fill(0xee);
    const offender = ipv6Packet({ payload: new Uint8Array(1401).fill(7) });
    const length = writeIcmpv6Error(out, offender, tooBig(1452), FROM);
    expect(length).toBe(1280);
    expect(checkHeader6(out, length)).toBe(PASS);
    expect(checksum6(out, 58, 40, length - 40)).toBe(0);
    expect([...out.subarray(0, 8)]).toEqual([0x60, 0, 0, 0, (1280 - 40) >> 8, (1280 - 40) & 255, 58, 64]);
    expect(out.subarray(8, 24)).toEqual(FROM);
    expect(out.subarray(24, 40)).toEqual(offender.subarray(8, 24));
    expect([out[40], out[41], ...out.subarray(44, 48)]).toEqual([2, 0, 0, 0, 1452 >> 8, 1452 & 255]);
    expect(out.subarray(48, length)).toEqual(offender.subarray(0, length - 48));
  });

  test('quotes a small packet whole, and nothing after it', () => {
    const out = new Uint8Array(MIN_IPV6_MTU);
    const offender = ipv6Packet();
    expect(writeIcmpv6Error(out, Uint8Array.from([...offender, 9, 9]), NO_ROUTE_ERROR, FROM)).toBe(
      48 + offender.length,
    );
    expect([out[40], out[41]]).toEqual([1, 0]);
  });
});

describe('deservesIcmpv6Error()', () => {
  const fragment = (next: number, offset: number) =>
    ipv6Packet({ nextHeader: 44, payload: Uint8Array.of(next, 0, offset >> 5, offset << 3, 0, 0, 0, 1, 128, 0, 0, 0) });

  test.each([
    ['UDP', ipv6Packet(), true],
    ['an echo request', icmp6Packet(128), true],
    ['an ICMPv6 error', icmp6Packet(1), false],
    ['a redirect', icmp6Packet(137), false],
    ['a first fragment of an echo request', fragment(58, 0), true],
    ['a later fragment of ICMPv6', fragment(58, 100), false],
    ['a later fragment of UDP', fragment(17, 100), true],
    ['a multicast destination', ipv6Packet({ to: 'ff02::1' }), false],
    ['a multicast source', ipv6Packet({ from: 'ff02::1' }), false],
    ['no source', ipv6Packet({ from: '::' }), false],
    [
      'an error behind an extension header',
      ipv6Packet({ nextHeader: 0, payload: hex('3a00010400000000 0100000000000000') }),
      false,
    ],
    ['ICMPv6 that is cut off', ipv6Packet({ nextHeader: 58, payload: new Uint8Array() }), false],
  ])('%s', (_, packet, deserves) => {
    expect(deservesIcmpv6Error(packet, HOPS_EXCEEDED)).toBe(deserves);
  });

  test('tells also those that send to many that their packet is too big', () => {
    expect(deservesIcmpv6Error(ipv6Packet({ to: 'ff05::1' }), tooBig(1400))).toBe(true);
  });
});

describe('packet6', () => {
  test('checkHeader6() takes a packet with bytes after it, and none that is cut off', () => {
    const packet = ipv6Packet({ payload: new Uint8Array(20) });
    expect(checkHeader6(packet, 60)).toBe(PASS);
    expect(checkHeader6(Uint8Array.from([...packet, 1]), 61)).toBe(PASS);
    expect(totalLength6(packet)).toBe(60);
    expect(checkHeader6(packet, 59)).toBe(MALFORMED);
    expect(checkHeader6(packet, 39)).toBe(TOO_SHORT);
  });

  test('upperLayer() ends on extension headers that lead out of the packet, or never end', () => {
    expect(upperLayer(ipv6Packet({ nextHeader: 43, payload: hex('11ff000000000000') }))).toEqual({
      protocol: 17,
      offset: undefined,
    });
    expect(upperLayer(ipv6Packet({ nextHeader: 60, payload: new Uint8Array(4) }))).toEqual({
      protocol: 60,
      offset: undefined,
    });
    const endless = ipv6Packet({ nextHeader: 0, payload: new Uint8Array(800) });
    expect(upperLayer(endless)).toMatchObject({ protocol: 0 });
  });
});
