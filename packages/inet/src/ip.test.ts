import { formatIp, isIpv6, parseIp } from './ip.ts';

describe('ip', () => {
  test.each([
    ['10.0.0.1', false],
    ['fd00::1', true],
    ['::ffff:10.0.0.1', true],
  ])('parseIp() reads %s by its look, formatIp() writes it again', (text, six) => {
    const ip = parseIp(text);
    expect(isIpv6(ip)).toBe(six);
    expect(formatIp(ip)).toBe(text);
  });

  test('parseIp() refuses what is neither, and says how to write both', () => {
    expect(() => parseIp('10.0.0')).toThrow('Invalid address "10.0.0": write IPv4 like 10.0.0.1, or IPv6 like fd00::1');
  });
});
