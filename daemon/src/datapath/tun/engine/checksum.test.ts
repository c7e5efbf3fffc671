import fc from 'fast-check';
import { hex } from '../../../../testing/engine/packets.ts';
import { fold, internetChecksum, sumWords, updateChecksum } from './checksum.ts';

/** RFC 1071 4.1, written as plainly as possible. */
function plainChecksum(bytes: Uint8Array): number {
  let sum = 0;
  for (const [i, byte] of bytes.entries()) {
    sum += i % 2 === 0 ? byte * 256 : byte;
    while (sum > 0xffff) sum = (sum % 0x10000) + Math.floor(sum / 0x10000);
  }
  return 0xffff - sum;
}

describe('sumWords()', () => {
  test('gives the sum of the example in RFC 1071, 3', () => {
    expect(fold(sumWords(hex('0001 f203 f4f5 f6f7'), 0, 8))).toBe(0xddf2);
  });

  test('does not overflow on the largest packet', () => {
    expect(sumWords(new Uint8Array(65536).fill(0xff), 0, 65536)).toBe(32768 * 0xffff);
  });
});

describe('internetChecksum()', () => {
  test('gives the checksum of a known header', () => {
    expect(internetChecksum(hex('4500 0073 0000 4000 4011 0000 c0a8 0001 c0a8 00c7'), 0, 20)).toBe(0xb861);
  });

  test('is 0 over a header that holds its checksum', () => {
    expect(internetChecksum(hex('4500 0073 0000 4000 4011 b861 c0a8 0001 c0a8 00c7'), 0, 20)).toBe(0);
  });

  test('equals the plain definition for any bytes, odd lengths too', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2000 }), (bytes) => {
        expect(internetChecksum(bytes, 0, bytes.length)).toBe(plainChecksum(bytes));
      }),
    );
  });

  test('looks at nothing outside of its range', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 99 }), fc.uint8Array({ maxLength: 9 }), (bytes, around) => {
        const padded = Uint8Array.from([...around, ...bytes, ...around]);
        expect(internetChecksum(padded, around.length, bytes.length)).toBe(plainChecksum(bytes));
      }),
    );
  });
});

describe('updateChecksum()', () => {
  test('gives 0 and not 0xffff in the example of RFC 1624, 4', () => {
    expect(updateChecksum(0xdd2f, 0x5555, 0x3285)).toBe(0x0000);
  });

  test('equals a full sum after any change of a word in a header', () => {
    const word = fc.integer({ min: 0, max: 0xffff });
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 20, maxLength: 20 }),
        fc.integer({ min: 0, max: 9 }),
        word,
        (header, at, to) => {
          header[0] = 0x45; // never all zero, as no IPv4 header is: only there have 0 and 0xffff two meanings
          const before = internetChecksum(header, 0, 20);
          const view = new DataView(header.buffer, header.byteOffset);
          const from = view.getUint16(at * 2);
          view.setUint16(at * 2, at === 0 ? to | 0x4000 : to);
          expect(updateChecksum(before, from, view.getUint16(at * 2))).toBe(internetChecksum(header, 0, 20));
        },
      ),
      { numRuns: 1000 },
    );
  });
});
