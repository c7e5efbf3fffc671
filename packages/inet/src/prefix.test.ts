import fc from 'fast-check';
import { formatIpv4, type Ipv4, parseIpv4 } from './ipv4.ts';
import {
  addressAt,
  broadcastAddress,
  comparePrefixes,
  formatIpv4Interface,
  formatIpv4Prefix,
  interfacePrefix,
  ipv4Prefix,
  netmask,
  parseIpv4Interface,
  parseIpv4Prefix,
  parseIpv4PrefixStrict,
  prefixContains,
  prefixCovers,
  prefixesOverlap,
  prefixSize,
  subnetAt,
  subnetCount,
} from './prefix.ts';

const anyIpv4 = fc.integer({ min: 0, max: 0xffff_ffff }).map((n) => n as Ipv4);
const anyPrefix = fc.tuple(anyIpv4, fc.integer({ min: 0, max: 32 })).map(([ip, length]) => ipv4Prefix(ip, length));
// Random pairs hardly ever overlap: draw from a small block as well.
const nearPrefix = fc
  .tuple(fc.integer({ min: 0, max: 255 }), fc.integer({ min: 24, max: 32 }))
  .map(([n, length]) => ipv4Prefix((parseIpv4('10.0.0.0') + n) as Ipv4, length));
const prefixes = fc.oneof(anyPrefix, nearPrefix);

describe('ipv4 prefix', () => {
  test('parseIpv4Prefix() masks host bits and parseIpv4PrefixStrict() refuses them', () => {
    expect(formatIpv4Prefix(parseIpv4Prefix('10.3.7.9/16'))).toBe('10.3.0.0/16');
    expect(() => parseIpv4PrefixStrict('10.3.7.9/16')).toThrow('write 10.3.0.0/16');
    expect(parseIpv4PrefixStrict('0.0.0.0/0')).toEqual({ family: 4, base: 0, length: 0 });
  });

  test.each([
    '',
    '10.0.0.0',
    '10.0.0.0/',
    '/8',
    '10.0.0.0/33',
    '10.0.0.0/08',
    '10.0.0.0/8/8',
    '10.0.0/8',
    'fd00::/8',
    '10.0.0.0/-1',
  ])('parseIpv4Prefix() refuses %j and names it', (text) => {
    expect(() => parseIpv4Prefix(text)).toThrow(JSON.stringify(text));
  });

  test('formatIpv4Prefix() and both parsers are inverse', () => {
    fc.assert(
      fc.property(anyPrefix, (prefix) => {
        expect(parseIpv4Prefix(formatIpv4Prefix(prefix))).toEqual(prefix);
        expect(parseIpv4PrefixStrict(formatIpv4Prefix(prefix))).toEqual(prefix);
      }),
    );
  });

  test('prefixContains() holds exactly between base and broadcast address', () => {
    fc.assert(
      fc.property(
        prefixes,
        fc.oneof(
          anyIpv4,
          nearPrefix.map((p) => p.base),
        ),
        (prefix, ip) => {
          return prefixContains(prefix, ip) === (ip >= prefix.base && ip <= broadcastAddress(prefix));
        },
      ),
    );
  });

  test('prefixesOverlap() is symmetric, reflexive, and equals sharing an address', () => {
    fc.assert(
      fc.property(prefixes, prefixes, (a, b) => {
        const share = a.base <= broadcastAddress(b) && b.base <= broadcastAddress(a);
        return prefixesOverlap(a, b) === share && prefixesOverlap(b, a) === share && prefixesOverlap(a, a);
      }),
    );
  });

  test('prefixCovers() is transitive and antisymmetric', () => {
    fc.assert(
      fc.property(nearPrefix, nearPrefix, nearPrefix, (a, b, c) => {
        if (prefixCovers(a, b) && prefixCovers(b, c)) expect(prefixCovers(a, c)).toBe(true);
        if (prefixCovers(a, b) && prefixCovers(b, a)) expect(a).toEqual(b);
      }),
    );
  });

  test('comparePrefixes() puts a covering block before what it covers', () => {
    fc.assert(fc.property(nearPrefix, nearPrefix, (a, b) => !prefixCovers(a, b) || comparePrefixes(a, b) <= 0));
  });

  test('subnetAt() cuts the prefix into neighbours without gap or overlap', () => {
    fc.assert(
      fc.property(anyPrefix, fc.nat(8), (prefix, more) => {
        const length = Math.min(32, prefix.length + more);
        const count = subnetCount(prefix, length);
        let next: number = prefix.base;
        for (let i = 0; i < count; i++) {
          const subnet = subnetAt(prefix, length, i);
          expect(subnet.base).toBe(next);
          expect(prefixCovers(prefix, subnet)).toBe(true);
          next = broadcastAddress(subnet) + 1;
        }
        expect(next).toBe(broadcastAddress(prefix) + 1);
        expect(() => subnetAt(prefix, length, count)).toThrow(formatIpv4Prefix(prefix));
      }),
      { numRuns: 50 },
    );
  });

  test('subnetCount() is 0 for a subnet larger than the prefix', () => {
    expect(subnetCount(parseIpv4Prefix('10.0.0.0/16'), 8)).toBe(0);
    expect(subnetCount(parseIpv4Prefix('10.0.0.0/16'), 24)).toBe(256);
    expect(subnetCount(parseIpv4Prefix('0.0.0.0/0'), 32)).toBe(2 ** 32);
  });

  test('addressAt() counts from the base and refuses the address after the last', () => {
    const prefix = parseIpv4Prefix('10.64.0.0/19');
    expect(formatIpv4(addressAt(prefix, 1))).toBe('10.64.0.1');
    expect(formatIpv4(addressAt(prefix, prefixSize(prefix) - 1))).toBe('10.64.31.255');
    expect(() => addressAt(prefix, prefixSize(prefix))).toThrow('10.64.0.0/19');
    expect(addressAt(parseIpv4Prefix('0.0.0.0/0'), 2 ** 32 - 1)).toBe(0xffffffff);
  });

  test.each([
    [0, '0.0.0.0'],
    [1, '128.0.0.0'],
    [19, '255.255.224.0'],
    [32, '255.255.255.255'],
  ])('netmask(%d) is %s', (length, text) => {
    expect(formatIpv4(netmask(length))).toBe(text);
  });

  test('ipv4Prefix() and netmask() refuse a bad length', () => {
    expect(() => netmask(33)).toThrow('33');
    expect(() => ipv4Prefix(parseIpv4('10.0.0.0'), 1.5)).toThrow('1.5');
  });

  test('parseIpv4Interface() keeps host bits', () => {
    const address = parseIpv4Interface('10.5.72.1/24');
    expect(formatIpv4Interface(address)).toBe('10.5.72.1/24');
    expect(formatIpv4Prefix(interfacePrefix(address))).toBe('10.5.72.0/24');
  });
});
