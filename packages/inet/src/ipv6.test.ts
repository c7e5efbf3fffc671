import { isIPv6 } from 'node:net';
import fc from 'fast-check';
import { formatIpv6, type Ipv6, ipv6FromBytes, ipv6FromNumber, ipv6ToBytes, isIpv6Text, parseIpv6 } from './ipv6.ts';

const anyIpv6 = fc.bigInt({ min: 0n, max: (1n << 128n) - 1n }).map((n) => n as Ipv6);
// Zero fields are what RFC 5952 is about; random numbers have none.
const sparseIpv6 = fc
  .array(fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xffff })), { minLength: 8, maxLength: 8 })
  .map((hextets) => hextets.reduce((n, h) => (n << 16n) | BigInt(h), 0n) as Ipv6);
const ips = fc.oneof(anyIpv6, sparseIpv6);

describe('ipv6', () => {
  test.each([
    ['::', '::'],
    ['::1', '::1'],
    ['1::', '1::'],
    ['fc00:0:0:1::', 'fc00:0:0:1::'],
    ['2001:0DB8:0000:0000:0000:0000:0000:0001', '2001:db8::1'],
    // RFC 5952 4.2.2: one zero field is not shortened; 4.2.3: the first of equal runs is.
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
    ['::ffff:192.0.2.1', '::ffff:192.0.2.1'],
    ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
    ['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:0'],
  ])('formatIpv6(parseIpv6(%j)) is %j', (text, canonical) => {
    expect(formatIpv6(parseIpv6(text))).toBe(canonical);
  });

  test('formatIpv6() and parseIpv6() are inverse, and Node reads the text as IPv6', () => {
    fc.assert(fc.property(ips, (ip) => isIPv6(formatIpv6(ip)) && parseIpv6(formatIpv6(ip)) === ip));
  });

  test('formatIpv6() agrees with the WHATWG URL serializer', () => {
    // The URL standard follows RFC 5952 but for mixed notation.
    fc.assert(
      fc.property(
        ips,
        (ip) => ip >> 32n === 0xffffn || new URL(`http://[${formatIpv6(ip)}]/`).hostname === `[${formatIpv6(ip)}]`,
      ),
    );
  });

  test('isIpv6Text() agrees with node:net, zones apart', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.ipV6(), fc.stringMatching(/^[0-9a-f:.]{0,20}$/)),
        (text) => isIpv6Text(text) === isIPv6(text),
      ),
    );
    expect(isIpv6Text('fe80::1%eth0')).toBe(false);
  });

  test('ipv6ToBytes() and ipv6FromBytes() are inverse', () => {
    fc.assert(fc.property(ips, (ip) => ipv6FromBytes(ipv6ToBytes(ip)) === ip));
    expect(() => ipv6FromBytes(new Uint8Array(15))).toThrow('needs 16 bytes');
  });

  test.each([
    '',
    ':',
    ':::',
    '1',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '1::2::3',
    'g::',
    '12345::',
    '1.2.3.4',
    '1.2.3.4::',
    '::1.2.3',
    ':1',
    '1:',
  ])('parseIpv6() refuses %j and names it', (text) => {
    expect(() => parseIpv6(text)).toThrow(JSON.stringify(text));
  });

  test('ipv6FromNumber() refuses what does not fit', () => {
    expect(() => ipv6FromNumber(1n << 128n)).toThrow('128 bits');
    expect(() => ipv6FromNumber(-1n)).toThrow('128 bits');
  });
});
