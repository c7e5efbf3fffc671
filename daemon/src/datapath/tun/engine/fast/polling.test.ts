import { Polling } from './polling.ts';

const WINDOW = 0.05;

/** Packets `gaps` apart, in milliseconds; after each, whether the thread still looks when half and when all of a window has passed. */
function after(polling: Polling, gaps: readonly number[], start = 1000): string {
  let now = start;
  return gaps
    .map((gap) => {
      now += gap;
      polling.moved(now);
      const looks = (part: number): string => (polling.goesOn(() => now + part * WINDOW) ? 'looks' : 'sleeps');
      const half = looks(0.5);
      return gap < WINDOW ? half : `${half}, ${looks(1)}`;
    })
    .join('; ');
}

test('sleeps at once after packets that are far apart', () => {
  const looks = after(new Polling(WINDOW), [1, 5, 5, 0.06]).split('; ');
  expect(looks).toEqual(['sleeps, sleeps', 'sleeps, sleeps', 'sleeps, sleeps', 'sleeps, sleeps']);
});

test('looks for more from the second of two packets that are close together on, and for one window only', () => {
  const polling = new Polling(WINDOW);
  expect(after(polling, [1, 0.01])).toBe('sleeps, sleeps; looks');
  expect(polling.goesOn(() => 1001.01 + WINDOW)).toBe(false);
  expect(polling.goesOn(() => 1001.01 + WINDOW)).toBe(false);
});

test('goes on where every second gap is too long, as between answer and request', () => {
  const polling = new Polling(WINDOW);
  const gaps = Array.from({ length: 40 }, (_, index) => (index % 2 === 0 ? 0.1 : 0.01));
  const looks = after(polling, gaps).split('; ');
  expect(looks[0]).toBe('sleeps, sleeps');
  expect(new Set(looks.slice(1))).toEqual(new Set(['looks', 'looks, sleeps']));
});

test('stops after a few windows in vain, however long it was busy before', () => {
  const polling = new Polling(WINDOW);
  after(
    polling,
    Array.from({ length: 1000 }, () => 0.01),
  );
  const looks = after(
    polling,
    Array.from({ length: 20 }, () => 5),
    2000,
  ).split('; ');
  expect(looks.filter((each) => each === 'looks, sleeps')).toHaveLength(8);
  expect(looks.slice(8)).toEqual(Array.from({ length: 12 }, () => 'sleeps, sleeps'));
});

test('rests ten times as long as another thread kept the processor, and then looks again', () => {
  const polling = new Polling(10);
  const looksAfter = (time: number): boolean => {
    polling.moved(time);
    return polling.goesOn(() => time + 0.02);
  };
  expect([1000, 1000.1].map(looksAfter)).toEqual([false, true]);
  expect(polling.goesOn(() => 1001)).toBe(true); // a pause, but a short one
  expect(polling.goesOn(() => 1004)).toBe(false); // 3 ms
  expect([1004.1, 1020, 1033.9].map(looksAfter)).toEqual([false, false, false]);
  expect([1034, 1034.1].map(looksAfter)).toEqual([true, true]);
});

test('never looks with a window of 0', () => {
  expect(after(new Polling(0), [0.001, 0.001])).toBe('sleeps; sleeps');
});
