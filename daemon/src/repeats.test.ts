import { Repeats } from './repeats.ts';

const SECOND = 1000;
const HOUR = 3600 * SECOND;
const DAY = 24 * HOUR;

/** Every line of a day in which `fails` is tried each five seconds. */
function day(repeats: Repeats, causeOf: (second: number) => string | undefined): string[] {
  const lines: (string | undefined)[] = [];
  for (let now = 0; now < DAY; now += 5 * SECOND) {
    const cause = causeOf(now / SECOND);
    lines.push(cause === undefined ? repeats.over(now) : repeats.failed(cause, now));
  }
  return lines.filter((line) => line !== undefined);
}

test('failed() takes a cause that differs in how long it took for the same one', () => {
  const repeats = new Repeats();
  expect(
    repeats.failed('http://10.64.0.1:2379: Deadline exceeded after 5.001s,name resolution: 0.001s', 0),
  ).toBeDefined();
  expect(
    repeats.failed('http://10.64.0.1:2379: Deadline exceeded after 5.003s,name resolution: 0.002s', 1),
  ).toBeUndefined();
  expect(
    repeats.failed('http://10.64.0.2:2379: Deadline exceeded after 5.003s,name resolution: 0.002s', 2),
  ).toBeDefined();
});

test('a day of the same failure is logged at once, and then after 1 min, 10 min, 1 h and each 6 h', () => {
  const repeats = new Repeats();
  expect(day(repeats, () => 'refused')).toEqual([
    'refused',
    'refused (13 times in 60 s)',
    'refused (133 times in 11 min)',
    'refused (853 times in 1 h 11 min)',
    'refused (5173 times in 7 h 11 min)',
    'refused (9493 times in 13 h 11 min)',
    'refused (13813 times in 19 h 11 min)',
  ]);
  expect(repeats.over(DAY)).toBe('after 24 h');
  expect(repeats.over(DAY + SECOND)).toBeUndefined();
});

test('another cause is logged at once, but not each of many', () => {
  const three = day(new Repeats(), (second) => `member ${second % 3} refused`);
  expect(three.slice(0, 3)).toEqual([
    'member 0 refused',
    'member 2 refused (2 times in 5 s)',
    'member 1 refused (3 times in 10 s)',
  ]);
  expect(three).toHaveLength(9);
  expect(day(new Repeats(), (second) => `member ${second} refuses`)).toHaveLength(10);
});

test('without reminders there is one line until it is over', () => {
  expect(day(new Repeats([]), () => 'refused')).toEqual(['refused']);
});

test('what fails and works again in turns for a day writes no more than what fails all day', () => {
  const lines = day(new Repeats(), (second) => (second % 10 === 0 ? 'refused' : undefined));
  expect(lines.slice(0, 3)).toEqual(['refused', 'after 5 s', 'refused (7 times in 60 s)']);
  expect(lines).toHaveLength(14);
});

test('after a calm time a failure is a new one', () => {
  const repeats = new Repeats();
  expect(repeats.failed('refused', 0)).toBe('refused');
  expect(repeats.over(SECOND)).toBe('after 1 s');
  expect(repeats.failed('refused', HOUR)).toBe('refused');
});

test('nothing is over that was not there', () => {
  expect(new Repeats().over(0)).toBeUndefined();
});
