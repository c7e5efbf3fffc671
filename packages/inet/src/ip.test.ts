import fc from 'fast-check';
import { anyIp } from '../testing/arbitraries.ts';
import { addressBits, addressBytes, FAMILIES, familyName } from './family.ts';
import {
  addToIp,
  compareIps,
  familyOf,
  formatIp,
  type Ip,
  ipFromBytes,
  ipFromNumber,
  ipToBytes,
  isIpText,
  isIpv4,
  isIpv6,
  isLinkLocal,
  isLoopback,
  parseIp,
  unspecifiedIp,
} from './ip.ts';

describe.each(FAMILIES)('IPv%d address', (family) => {
  const other = family === 4 ? 6 : 4;

  test('parseIp() and formatIp() are inverse, with the family given or not', () => {
    fc.assert(
      fc.property(anyIp(family), (ip) => {
        const text = formatIp(ip);
        expect(parseIp(text)).toBe(ip);
        expect(parseIp(text, family)).toBe(ip);
        expect(isIpText(text) && isIpText(text, family) && !isIpText(text, other)).toBe(true);
      }),
    );
  });

  test('familyOf(), isIpv4() and isIpv6() agree', () => {
    fc.assert(
      fc.property(anyIp(family), (ip: Ip) => {
        expect([familyOf(ip), isIpv4(ip), isIpv6(ip)]).toEqual([family, family === 4, family === 6]);
      }),
    );
  });

  test('parseIp() refuses an address of the other family, and names the one asked for', () => {
    const text = formatIp(unspecifiedIp(other));
    expect(() => parseIp(text, family)).toThrow(`Invalid ${familyName(family)} address "${text}"`);
  });

  test('ipToBytes() and ipFromBytes() are inverse at any offset', () => {
    fc.assert(
      fc.property(anyIp(family), fc.nat(8), (ip, offset) => {
        const bytes = new Uint8Array(offset + addressBytes(family));
        bytes.set(ipToBytes(ip), offset);
        expect(ipFromBytes(family, bytes, offset)).toBe(ip);
      }),
    );
    expect(() => ipFromBytes(family, new Uint8Array(addressBytes(family) - 1))).toThrow('needs');
  });

  test('addToIp() goes both ways and refuses to leave the family', () => {
    const last = ipFromNumber(family, (1n << BigInt(addressBits(family))) - 1n);
    fc.assert(
      fc.property(anyIp(family), fc.integer(), (ip, n) => {
        const sum = BigInt(ip) + BigInt(n);
        fc.pre(sum >= 0n && sum <= BigInt(last));
        expect(addToIp<Ip>(addToIp<Ip>(ip, n), -n)).toBe(ip);
      }),
    );
    expect(() => addToIp<Ip>(last, 1)).toThrow(familyName(family));
    expect(() => addToIp<Ip>(unspecifiedIp(family), -1n)).toThrow(familyName(family));
  });

  test('compareIps() orders by number', () => {
    fc.assert(
      fc.property(anyIp(family), anyIp(family), (a, b) => {
        expect(Math.sign(compareIps(a, b))).toBe(a < b ? -1 : a > b ? 1 : 0);
      }),
    );
  });
});

test('compareIps() puts IPv4 first', () => {
  const sorted = ['::', '0.0.0.1', '::1', '255.0.0.0'].map((text) => parseIp(text)).sort(compareIps);
  expect(sorted.map(formatIp)).toEqual(['0.0.0.1', '255.0.0.0', '::', '::1']);
});

test('parseIp() refuses what is neither, and says how to write both', () => {
  expect(() => parseIp('10.0.0')).toThrow('Invalid address "10.0.0": write IPv4 like 10.0.0.1, or IPv6 like fd00::1');
  expect(isIpText('10.0.0')).toBe(false);
});

test('an IPv4-mapped address is IPv6', () => {
  expect(familyOf(parseIp('::ffff:10.0.0.1'))).toBe(6);
});

test.each([
  ['127.0.0.1', true],
  ['127.255.255.255', true],
  ['128.0.0.1', false],
  ['::1', true],
  ['::', false],
  ['::2', false],
])('isLoopback(%s) is %s', (text, expected) => {
  expect(isLoopback(parseIp(text))).toBe(expected);
});

test.each([
  ['169.254.0.1', true],
  ['169.255.0.1', false],
  ['fe80::1', true],
  ['febf:ffff::', true],
  ['fec0::1', false],
])('isLinkLocal(%s) is %s', (text, expected) => {
  expect(isLinkLocal(parseIp(text))).toBe(expected);
});
