import { fuzz } from './fuzz.ts';
import { Random } from './random.ts';

const SECONDS = 10;
/** More than enough to meet what a changed setting changes; counted, since a busy machine does few in any time. */
const CASES = 3000;

test('fuzz() finds no difference between the engines', () => {
  const seed = Number(process.env.FUZZ_SEED ?? Math.floor(Math.random() * 2 ** 32));
  const { cases, packets } = fuzz(seed, SECONDS);
  expect(cases).toBeGreaterThan(10);
  expect(packets).toBeGreaterThan(1000);
}, 60_000);

test('fuzz() does the same again for the same seed', () => {
  expect(fuzz(77, 0)).toEqual(fuzz(77, 0));
});

test.each([{ verifyChecksums: false }, { mtu: 1471 }, { filterPeers: false }])(
  'fuzz() sees what %j changes',
  (config) => {
    const cases = () => {
      for (let seed = 1; seed <= CASES; seed++) fuzz(seed, 0, config);
    };
    expect(cases).toThrow(/^Case with seed \d+ \(again: npm run fuzz -- --seed \d+ --seconds 0\): /);
  },
);

test('Random gives the same numbers for the same seed, others for another, and all in range', () => {
  const numbers = (seed: number): number[] => {
    const random = new Random(seed);
    return Array.from({ length: 1000 }, () => random.between(3, 9));
  };
  expect(numbers(1)).toEqual(numbers(1));
  expect(numbers(1)).not.toEqual(numbers(2));
  expect(new Set(numbers(1))).toEqual(new Set([3, 4, 5, 6, 7, 8, 9]));
});
