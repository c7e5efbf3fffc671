import { Growth } from './memory.ts';

const MB = 1e6;

test('Growth: it is worth collecting after a burst that took much, once it is over', () => {
  const growth = new Growth(40 * MB, 0);
  expect(growth.isWorthwhile(60 * MB, 25_000)).toBe(false); // it still grows
  expect(growth.isWorthwhile(75 * MB, 30_000)).toBe(false);
  expect(growth.isWorthwhile(75 * MB, 35_000)).toBe(true);
  growth.collected(45 * MB, 35_200);
  expect(growth.isWorthwhile(45 * MB, 60_000)).toBe(false);
});

test('Growth: little is not worth it, nor what a collection has just left in use', () => {
  const growth = new Growth(40 * MB, 0);
  for (let now = 5000; now < 600_000; now += 5000) expect(growth.isWorthwhile(48 * MB, now)).toBe(false);
  growth.collected(70 * MB, 600_000);
  for (let now = 605_000; now < 900_000; now += 5000) expect(growth.isWorthwhile(74 * MB, now)).toBe(false);
});

test('Growth: whatever happens, there are twenty seconds between two collections', () => {
  const growth = new Growth(40 * MB, 0);
  const collections: number[] = [];
  for (let now = 1000; now <= 120_000; now += 1000) {
    if (!growth.isWorthwhile(80 * MB, now)) continue;
    collections.push(now);
    growth.collected(40 * MB, now);
  }
  expect(collections.length).toBeGreaterThan(2);
  expect(collections.every((at, index) => at - (collections[index - 1] ?? 0) >= 20_000)).toBe(true);
});
