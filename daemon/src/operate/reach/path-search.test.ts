import fc from 'fast-check';
import { PathSearch } from './path-search.ts';

const MTU = 1472;
const LEAST = 64;

/** Sends as the search asks, over a path that carries packets up to `width`; the number of packets until it asks for none soon. */
function search(path: PathSearch, width: number, most = 100): number {
  for (let packets = 1; packets <= most; packets++) {
    const { size } = path;
    if (size <= width) path.arrived(size);
    else path.lost(size);
    if (path.state !== 'unknown' && !path.searching) return packets;
  }
  return Number.POSITIVE_INFINITY;
}

describe('PathSearch', () => {
  test('sets no limit on a path that carries the MTU', () => {
    const path = new PathSearch(MTU, LEAST);
    expect([path.state, path.size]).toEqual(['unknown', MTU]);
    search(path, MTU);
    expect([path.state, path.limit, path.searching]).toEqual(['passes', undefined, false]);
  });

  test('finds the limit of any path within 8 bytes and 18 packets, and never one that is too large', () => {
    fc.assert(
      fc.property(fc.integer({ min: LEAST, max: MTU - 1 }), (width) => {
        const path = new PathSearch(MTU, LEAST);
        expect(search(path, width)).toBeLessThanOrEqual(18);
        expect(path.state).toBe('lost');
        expect(path.limit).toBeLessThanOrEqual(width);
        expect(path.limit).toBeGreaterThan(width - 8);
      }),
    );
  });

  test('does not believe a single loss', () => {
    const path = new PathSearch(MTU, LEAST);
    path.lost(MTU);
    expect(path.state).toBe('unknown');
    path.arrived(MTU);
    path.lost(MTU);
    expect(path.state).toBe('passes');
  });

  test('follows a path whose width changes', () => {
    const width = fc.integer({ min: LEAST, max: MTU + 100 });
    fc.assert(
      fc.property(fc.array(width, { minLength: 2, maxLength: 5 }), (widths) => {
        const path = new PathSearch(MTU, LEAST);
        for (const now of widths) {
          // Twice for each of the two sizes that it asks for in turn, and then the search.
          for (let round = 0; round < 8; round++) search(path, now);
          if (now >= MTU) expect([path.state, path.limit]).toEqual(['passes', undefined]);
          else {
            expect(path.limit).toBeLessThanOrEqual(now);
            expect(path.limit).toBeGreaterThan(now - 8);
          }
        }
      }),
    );
  });
});
