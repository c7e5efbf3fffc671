import { milliseconds, realTime } from './clock.ts';

test('realTime() is the time of Date.now(), with fractions of a millisecond', () => {
  const before = Date.now();
  const times = Array.from({ length: 20 }, realTime);
  const after = Date.now();
  for (const time of times) {
    expect(time).toBeGreaterThanOrEqual(before);
    expect(time).toBeLessThan(after + 1);
  }
  expect(times.some((time) => time % 1 !== 0)).toBe(true);
});

test('milliseconds() reads seconds and nanoseconds, from wherever the view begins', () => {
  const bytes = new Uint8Array(24);
  const view = new DataView(bytes.buffer);
  view.setBigInt64(8, 1_700_000_000n, true);
  view.setBigInt64(16, 250_000_000n, true);
  expect(milliseconds(bytes.subarray(8))).toBe(1_700_000_000_250);
});
