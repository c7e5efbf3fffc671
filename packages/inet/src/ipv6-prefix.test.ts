import fc from 'fast-check';
import { formatIpv6, type Ipv6 } from './ipv6.ts';
import {
  compareIpv6Prefixes,
  formatIpv6Interface,
  formatIpv6Prefix,
  ipv6AddressAt,
  ipv6InterfacePrefix,
  ipv6Netmask,
  ipv6Prefix,
  ipv6PrefixContains,
  ipv6PrefixCovers,
  ipv6PrefixesOverlap,
  ipv6PrefixSize,
  ipv6SubnetAt,
  ipv6SubnetCount,
  lastIpv6Address,
  parseIpv6Interface,
  parseIpv6Prefix,
  parseIpv6PrefixStrict,
} from './ipv6-prefix.ts';

const anyIpv6 = fc.bigInt({ min: 0n, max: (1n << 128n) - 1n }).map((n) => n as Ipv6);
const anyPrefix = fc.tuple(anyIpv6, fc.integer({ min: 0, max: 128 })).map(([ip, length]) => ipv6Prefix(ip, length));
const nearPrefix = fc
  .tuple(fc.integer({ min: 0, max: 255 }), fc.integer({ min: 120, max: 128 }))
  .map(([n, length]) => ipv6Prefix((parseIpv6Prefix('fd00::/64').base + BigInt(n)) as Ipv6, length));
const prefixes = fc.oneof(anyPrefix, nearPrefix);

describe('ipv6 prefix', () => {
  test('formatIpv6Prefix() and both parsers are inverse', () => {
    fc.assert(
      fc.property(anyPrefix, (prefix) => {
        expect(parseIpv6Prefix(formatIpv6Prefix(prefix))).toEqual(prefix);
        expect(parseIpv6PrefixStrict(formatIpv6Prefix(prefix))).toEqual(prefix);
      }),
    );
  });

  test('parseIpv6Prefix() masks host bits and parseIpv6PrefixStrict() refuses them', () => {
    expect(formatIpv6Prefix(parseIpv6Prefix('fd00::1/64'))).toBe('fd00::/64');
    expect(() => parseIpv6PrefixStrict('fd00::1/64')).toThrow('write fd00::/64');
  });

  test.each(['', 'fd00::', 'fd00::/129', 'fd00::/08', 'fd00::/', '10.0.0.0/8', 'fe80::1%eth0/64'])(
    'parseIpv6Prefix() refuses %j and names it',
    (text) => {
      expect(() => parseIpv6Prefix(text)).toThrow(JSON.stringify(text));
    },
  );

  test('ipv6PrefixesOverlap() is symmetric, reflexive, and equals sharing an address', () => {
    fc.assert(
      fc.property(prefixes, prefixes, (a, b) => {
        const share = a.base <= lastIpv6Address(b) && b.base <= lastIpv6Address(a);
        return ipv6PrefixesOverlap(a, b) === share && ipv6PrefixesOverlap(b, a) === share && ipv6PrefixesOverlap(a, a);
      }),
    );
  });

  test('ipv6PrefixContains() holds exactly between the first and the last address', () => {
    fc.assert(
      fc.property(prefixes, anyIpv6, (prefix, ip) => {
        return ipv6PrefixContains(prefix, ip) === (ip >= prefix.base && ip <= lastIpv6Address(prefix));
      }),
    );
  });

  test('compareIpv6Prefixes() puts a covering block before what it covers', () => {
    fc.assert(fc.property(nearPrefix, nearPrefix, (a, b) => !ipv6PrefixCovers(a, b) || compareIpv6Prefixes(a, b) <= 0));
  });

  test('ipv6SubnetAt() gives neighbours inside the prefix', () => {
    const prefix = parseIpv6Prefix('fc00::/48');
    expect(ipv6SubnetCount(prefix, 64)).toBe(65536n);
    expect(formatIpv6Prefix(ipv6SubnetAt(prefix, 64, 1n))).toBe('fc00:0:0:1::/64');
    expect(formatIpv6Prefix(ipv6SubnetAt(prefix, 64, 65535n))).toBe('fc00:0:0:ffff::/64');
    expect(() => ipv6SubnetAt(prefix, 64, 65536n)).toThrow('fc00::/48');
    expect(ipv6SubnetCount(prefix, 47)).toBe(0n);
  });

  test('ipv6AddressAt() counts from the base', () => {
    const prefix = parseIpv6Prefix('fd00::/126');
    expect(formatIpv6(ipv6AddressAt(prefix, 3n))).toBe('fd00::3');
    expect(ipv6PrefixSize(prefix)).toBe(4n);
    expect(() => ipv6AddressAt(prefix, 4n)).toThrow('fd00::/126');
  });

  test('ipv6Netmask() sets the first bits', () => {
    expect(formatIpv6(ipv6Netmask(64))).toBe('ffff:ffff:ffff:ffff::');
    expect(ipv6Netmask(0)).toBe(0n);
    expect(() => ipv6Netmask(129)).toThrow('129');
  });

  test('parseIpv6Interface() keeps host bits', () => {
    const address = parseIpv6Interface('fc00:0:0:1::1/64');
    expect(formatIpv6Interface(address)).toBe('fc00:0:0:1::1/64');
    expect(formatIpv6Prefix(ipv6InterfacePrefix(address))).toBe('fc00:0:0:1::/64');
  });
});
