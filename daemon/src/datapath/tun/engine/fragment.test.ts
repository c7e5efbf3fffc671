import fc from 'fast-check';
import { ipv4Packet } from '../../../../testing/engine/packets.ts';
import { writeFragment } from './fragment.ts';
import { checkHeader, fragmentOffset, headerLength, totalLength, word } from './ipv4-header.ts';

const HEADER = 20;

function fragments(packet: Uint8Array, limit: number): Uint8Array[] {
  const parts: Uint8Array[] = [];
  for (let at = 0; at < packet.length - headerLength(packet); ) {
    const out = new Uint8Array(2000);
    at += writeFragment(out, packet, at, limit);
    parts.push(out.slice(0, totalLength(out)));
  }
  return parts;
}

const hasMore = (packet: Uint8Array) => (word(packet, 6) & 0x2000) !== 0;

describe('writeFragment()', () => {
  test('makes packets within the limit whose payloads are that of the whole', () => {
    const cases = fc.record({ length: fc.integer({ min: 1, max: 1452 }), limit: fc.integer({ min: 128, max: 1500 }) });
    fc.assert(
      fc.property(cases, ({ length, limit }) => {
        const payload = Uint8Array.from({ length }, (_, i) => i * 7);
        const parts = fragments(ipv4Packet({ payload, identification: 77 }), limit);
        const whole = new Uint8Array(length);
        for (const [index, part] of parts.entries()) {
          expect(checkHeader(part, part.length)).toBe(0);
          expect(part.length).toBeLessThanOrEqual(limit);
          expect(word(part, 4)).toBe(77);
          expect(hasMore(part)).toBe(index < parts.length - 1);
          whole.set(part.subarray(HEADER), fragmentOffset(part) * 8);
        }
        expect(whole).toEqual(payload);
        expect(parts.length).toBe(
          length + HEADER <= limit ? 1 : Math.ceil((length - ((limit - HEADER) % 8)) / ((limit - HEADER) & ~7)),
        );
      }),
    );
  });

  test('goes on where a fragment is fragmented again', () => {
    const parts = fragments(ipv4Packet({ payload: new Uint8Array(300), fragmentOffset: 10, moreFragments: true }), 128);
    expect(parts.map(fragmentOffset)).toEqual([10, 23, 36]);
    expect(parts.map(hasMore)).toEqual([true, true, true]);
  });

  test('leaves out of later fragments the options that only the first one has', () => {
    const options = Uint8Array.of(0x82, 3, 9, 7, 3, 9, 1, 0);
    const [first, second] = fragments(ipv4Packet({ payload: new Uint8Array(200), options }), 128);
    expect([...first!.subarray(20, 28)]).toEqual([...options]);
    expect([...second!.subarray(20, 28)]).toEqual([0x82, 3, 9, 1, 1, 1, 1, 0]);
  });
});
