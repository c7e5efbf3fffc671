import fc from 'fast-check';
import { anyIp, anyPrefix, nearbyIp } from '../testing/arbitraries.ts';
import { addressBits, FAMILIES, type Family, familyName } from './family.ts';
import { addToIp, formatIp, type Ip, parseIp } from './ip.ts';
import {
  addressAt,
  comparePrefixes,
  formatInterfaceAddress,
  formatPrefix,
  interfacePrefix,
  lastAddress,
  netmask,
  parseInterfaceAddress,
  parsePrefix,
  parsePrefixStrict,
  prefixContains,
  prefixCovers,
  prefixesOverlap,
  prefixFrom,
  prefixKey,
  prefixSize,
  sameInterfaceAddress,
  samePrefix,
  subnetAt,
  subnetCount,
} from './prefix.ts';

describe.each(FAMILIES)('IPv%d prefix', (family) => {
  const bits = addressBits(family);
  const other: Family = family === 4 ? 6 : 4;
  const prefixes = anyPrefix(family);

  test('formatPrefix() and both parsers are inverse, with the family given or not', () => {
    fc.assert(
      fc.property(prefixes, (prefix) => {
        const text = formatPrefix(prefix);
        for (const parse of [parsePrefix, parsePrefixStrict]) {
          expect(parse(text)).toEqual(prefix);
          expect(parse(text, family)).toEqual(prefix);
        }
      }),
    );
  });

  test('prefixKey() is the same for the same prefix alone', () => {
    fc.assert(
      fc.property(prefixes, prefixes, (a, b) => {
        expect(prefixKey({ ...a })).toBe(prefixKey(a));
        expect(prefixKey(a) === prefixKey(b)).toBe(samePrefix(a, b));
        const shorter = prefixFrom(a.base, Math.max(0, a.length - 1));
        expect(prefixKey(shorter) === prefixKey(a)).toBe(samePrefix(shorter, a));
      }),
    );
  });

  test('an interface address keeps its host bits, and its prefix loses them', () => {
    fc.assert(
      fc.property(anyIp(family), fc.integer({ min: 0, max: bits }), (ip, length) => {
        const address = parseInterfaceAddress(`${formatIp(ip)}/${length}`, family);
        expect(address).toEqual({ address: ip, length });
        expect(formatInterfaceAddress(address)).toBe(`${formatIp(ip)}/${length}`);
        expect(interfacePrefix(address)).toEqual(parsePrefix(formatInterfaceAddress(address)));
        expect(prefixContains(interfacePrefix(address), ip)).toBe(true);
      }),
    );
  });

  test('parsers refuse the other family, and name the one asked for', () => {
    const text = other === 4 ? '10.0.0.0/8' : 'fd00::/8';
    const message = `Invalid ${familyName(family)} prefix "${text}"`;
    expect(() => parsePrefix(text, family)).toThrow(message);
    expect(() => parsePrefixStrict(text, family)).toThrow(message);
    expect(() => parseInterfaceAddress(text, family)).toThrow(message);
  });

  test('prefixContains() holds exactly from the base to the last address', () => {
    fc.assert(
      fc.property(prefixes, fc.oneof(anyIp(family), nearbyIp(family)), (prefix, ip) => {
        expect(prefixContains(prefix, ip)).toBe(ip >= prefix.base && ip <= lastAddress(prefix));
      }),
    );
  });

  test('prefixesOverlap() is symmetric, reflexive, and equals sharing an address', () => {
    fc.assert(
      fc.property(prefixes, prefixes, (a, b) => {
        const share = a.base <= lastAddress(b) && b.base <= lastAddress(a);
        expect([prefixesOverlap(a, b), prefixesOverlap(b, a), prefixesOverlap(a, a)]).toEqual([share, share, true]);
      }),
    );
  });

  test('prefixCovers() is transitive and antisymmetric', () => {
    fc.assert(
      fc.property(prefixes, prefixes, prefixes, (a, b, c) => {
        if (prefixCovers(a, b) && prefixCovers(b, c)) expect(prefixCovers(a, c)).toBe(true);
        if (prefixCovers(a, b) && prefixCovers(b, a)) expect(samePrefix(a, b)).toBe(true);
      }),
    );
  });

  test('comparePrefixes() puts a covering block before what it covers, and is 0 for the same prefix only', () => {
    fc.assert(
      fc.property(prefixes, prefixes, (a, b) => {
        if (prefixCovers(a, b)) expect(comparePrefixes(a, b)).toBeLessThanOrEqual(0);
        expect(comparePrefixes(a, b) === 0).toBe(samePrefix(a, b));
        expect(Math.sign(comparePrefixes(a, b)) + Math.sign(comparePrefixes(b, a))).toBe(0);
      }),
    );
  });

  test('subnetAt() cuts the prefix into neighbours without gap or overlap', () => {
    fc.assert(
      fc.property(prefixes, fc.nat(8), (prefix, more) => {
        const length = Math.min(bits, prefix.length + more);
        const count = subnetCount(prefix, length);
        let next = BigInt(prefix.base);
        for (let i = 0; i < count; i++) {
          const subnet = subnetAt(prefix, length, i);
          expect(BigInt(subnet.base)).toBe(next);
          expect(prefixCovers(prefix, subnet)).toBe(true);
          next = BigInt(lastAddress(subnet)) + 1n;
        }
        expect(next).toBe(BigInt(lastAddress(prefix)) + 1n);
        expect(() => subnetAt(prefix, length, count)).toThrow(formatPrefix(prefix));
      }),
      { numRuns: 50 },
    );
  });

  test('addressAt() counts from the base to the last address', () => {
    fc.assert(
      fc.property(prefixes, (prefix) => {
        expect(addressAt(prefix, 0)).toBe(prefix.base);
        expect(addressAt(prefix, BigInt(prefixSize(prefix)) - 1n)).toBe(lastAddress(prefix));
        expect(() => addressAt(prefix, prefixSize(prefix))).toThrow(formatPrefix(prefix));
        expect(() => addressAt(prefix, -1)).toThrow('Address number -1');
        expect(() => addressAt(prefix, 0.5)).toThrow('Address number 0.5');
      }),
    );
  });

  test('prefixFrom() and netmask() refuse a length that the family has not', () => {
    for (const length of [-1, bits + 1, 1.5, Number.NaN]) {
      expect(() => netmask(family, length)).toThrow(`${familyName(family)} prefix length ${length}`);
      expect(() => prefixFrom<Ip>(parseIp(family === 4 ? '10.0.0.0' : 'fd00::'), length)).toThrow(String(length));
    }
  });

  test('no prefix contains, covers, overlaps or equals one of the other family', () => {
    fc.assert(
      fc.property(prefixes, anyPrefix(other), (a, b) => {
        expect([prefixContains(a, b.base), prefixCovers(a, b), prefixesOverlap(a, b), samePrefix(a, b)]).toEqual(
          new Array(4).fill(false),
        );
        expect(Math.sign(comparePrefixes(a, b))).toBe(family === 4 ? -1 : 1);
      }),
    );
  });
});

test('the first subnet after the first address space of one family is not the other', () => {
  const [ipv4, ipv6] = [parsePrefix('0.0.0.0/0'), parsePrefix('::/0')];
  expect(samePrefix(ipv4, ipv6)).toBe(false);
  expect(sameInterfaceAddress(parseInterfaceAddress('0.0.0.0/0'), parseInterfaceAddress('::/0'))).toBe(false);
});

test.each([
  ['10.3.7.9/16', '10.3.0.0/16'],
  ['fd00::1/64', 'fd00::/64'],
])('parsePrefix(%j) masks host bits and parsePrefixStrict() refuses them', (text, masked) => {
  expect(formatPrefix(parsePrefix(text))).toBe(masked);
  expect(() => parsePrefixStrict(text)).toThrow(`write ${masked}`);
});

test.each([
  '',
  '/8',
  '10.0.0.0',
  '10.0.0.0/',
  '10.0.0.0/33',
  '10.0.0.0/08',
  '10.0.0.0/8/8',
  '10.0.0.0/-1',
  '10.0.0/8',
  'fd00::',
  'fd00::/',
  'fd00::/129',
  'fd00::/08',
  'fe80::1%eth0/64',
])('parsePrefix(%j) is refused with the text and an example', (text) => {
  expect(() => parsePrefix(text)).toThrow(
    `Invalid prefix ${JSON.stringify(text)}: write it like 10.244.0.0/16 or fd00:244::/48`,
  );
  expect(() => parsePrefix(text, 4)).toThrow(
    `Invalid IPv4 prefix ${JSON.stringify(text)}: write it like 10.244.0.0/16`,
  );
});

test.each([
  ['10.0.0.0/16', 8, 0],
  ['10.0.0.0/16', 24, 256],
  ['0.0.0.0/0', 32, 2 ** 32],
  ['fc00::/48', 47, 0],
  ['fc00::/48', 64, 65536],
  ['::/0', 128, 2 ** 128],
])('subnetCount(%s, %d) is %d', (text, length, count) => {
  expect(subnetCount(parsePrefix(text), length)).toBe(count);
});

test.each([
  [4, 0, '0.0.0.0'],
  [4, 1, '128.0.0.0'],
  [4, 19, '255.255.224.0'],
  [4, 32, '255.255.255.255'],
  [6, 0, '::'],
  [6, 64, 'ffff:ffff:ffff:ffff::'],
  [6, 128, 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
] as const)('netmask(%d, %d) is %s', (family, length, text) => {
  expect(formatIp(netmask<Family>(family, length))).toBe(text);
});

test.each([
  ['10.64.0.0/19', 1, '10.64.0.1'],
  ['10.64.0.0/19', 8191, '10.64.31.255'],
  ['0.0.0.0/0', 2 ** 32 - 1, '255.255.255.255'],
  ['fd00::/126', 3, 'fd00::3'],
])('addressAt(%s, %d) is %s', (text, n, address) => {
  expect(formatIp(addressAt(parsePrefix(text), n))).toBe(address);
  expect(formatIp(addToIp<Ip>(parsePrefix(text).base, BigInt(n)))).toBe(address);
});
