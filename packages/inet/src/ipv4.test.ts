import fc from 'fast-check';
import { formatIpv4, type Ipv4, ipv4FromBytes, ipv4FromNumber, ipv4ToBytes, isIpv4Text, parseIpv4 } from './ipv4.ts';

const anyIpv4 = fc.integer({ min: 0, max: 0xffff_ffff }).map((n) => n as Ipv4);

describe('ipv4', () => {
  test('parseIpv4() reads host order', () => {
    expect(parseIpv4('10.0.0.1')).toBe(0x0a000001);
    expect(parseIpv4('255.255.255.255')).toBe(0xffffffff);
  });

  test('formatIpv4() and parseIpv4() are inverse', () => {
    fc.assert(fc.property(anyIpv4, (ip) => parseIpv4(formatIpv4(ip)) === ip));
  });

  test('ipv4ToBytes() and ipv4FromBytes() are inverse at any offset', () => {
    fc.assert(
      fc.property(anyIpv4, fc.nat(8), (ip, offset) => {
        const bytes = new Uint8Array(offset + 4);
        bytes.set(ipv4ToBytes(ip), offset);
        return ipv4FromBytes(bytes, offset) === ip;
      }),
    );
    expect([...ipv4ToBytes(parseIpv4('1.2.3.4'))]).toEqual([1, 2, 3, 4]);
  });

  test.each([
    '',
    '1',
    '1.2.3',
    '1.2.3.4.5',
    '1.2.3.256',
    '01.2.3.4',
    '1.2.3.4 ',
    ' 1.2.3.4',
    '1.2.3.-4',
    '1.2.3.4\n',
    '0x1.2.3.4',
    '1..3.4',
    '::1',
  ])('parseIpv4() refuses %j and names it', (text) => {
    expect(isIpv4Text(text)).toBe(false);
    expect(() => parseIpv4(text)).toThrow(JSON.stringify(text));
  });

  test('parseIpv4() accepts only what formatIpv4() writes', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[0-9.]{1,15}$/), fc.ipV4()), (text) => {
        return !isIpv4Text(text) || formatIpv4(parseIpv4(text)) === text;
      }),
    );
  });

  test('ipv4FromBytes() refuses a short buffer', () => {
    expect(() => ipv4FromBytes(new Uint8Array(3))).toThrow('needs 4 bytes');
    expect(() => ipv4FromBytes(new Uint8Array(8), 5)).toThrow('offset 5');
  });

  test('ipv4FromNumber() refuses what does not fit', () => {
    expect(ipv4FromNumber(1)).toBe(1);
    for (const value of [-1, 2 ** 32, 1.5, Number.NaN]) expect(() => ipv4FromNumber(value)).toThrow('is not within');
  });
});
