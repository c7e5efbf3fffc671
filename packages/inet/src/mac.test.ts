import fc from 'fast-check';
import { macFromBytes, macToBytes, parseMac, randomLocalMac } from './mac.ts';

const sixBytes = fc.uint8Array({ minLength: 6, maxLength: 6 });

describe('mac', () => {
  test('parseMac() lower-cases and accepts dashes', () => {
    expect(parseMac('C6:D2:32:6F:8F:44')).toBe('c6:d2:32:6f:8f:44');
    expect(parseMac('0E-2A-00-00-00-01')).toBe('0e:2a:00:00:00:01');
  });

  test.each(['', 'c6:d2:32:6f:8f', 'c6:d2:32:6f:8f:4', 'c6:d2-32:6f:8f:44', 'c6d2326f8f44', 'g6:d2:32:6f:8f:44'])(
    'parseMac() refuses %j and names it',
    (text) => {
      expect(() => parseMac(text)).toThrow(JSON.stringify(text));
    },
  );

  test('macFromBytes() and macToBytes() are inverse', () => {
    fc.assert(fc.property(sixBytes, (bytes) => expect(macToBytes(macFromBytes(bytes))).toEqual(bytes)));
    expect(() => macFromBytes(new Uint8Array(5))).toThrow('needs 6 bytes');
  });

  test('randomLocalMac() is unicast and locally administered', () => {
    fc.assert(fc.property(sixBytes, (bytes) => (macToBytes(randomLocalMac(() => bytes))[0]! & 3) === 2));
  });
});
