import { ChangeLog } from './change-log.ts';

const DAY_MS = 86_400_000;

/** The lines of a change that is made so often. */
function lines(everyMs: number, lastingMs: number): string[] {
  const log = new ChangeLog();
  const found: string[] = [];
  for (let now = 0; now < lastingMs; now += everyMs) {
    const line = log.line('set the route', now);
    if (line !== undefined) found.push(line);
  }
  return found;
}

test('a change that somebody undoes all day is a handful of lines', () => {
  const found = lines(500, DAY_MS);
  expect(found.slice(0, 4)).toEqual([
    'set the route',
    'set the route',
    'set the route',
    'set the route, again and again: another program undoes it',
  ]);
  expect(found.length).toBeLessThan(15);
  expect(found.at(-1)).toMatch(/another program undoes it \(\d+ times in \d+/);
});

test('one that is made every quarter of an hour is told each time', () => {
  expect(lines(900_000, 9_000_000)).toEqual(Array.from({ length: 10 }, () => 'set the route'));
});

test('other changes are told meanwhile', () => {
  const log = new ChangeLog();
  for (let now = 0; now < 10_000; now += 500) log.line('set the route', now);
  expect(log.line('removed the route', 10_000)).toBe('removed the route');
  expect(log.line('and 3 more changes', 10_000, 'more')).toBe('and 3 more changes');
});

test('it does not grow with what was done once', () => {
  const log = new ChangeLog();
  for (let i = 0; i < 10_000; i++) log.line(`set route ${i}`, i);
  expect((log as unknown as { entries: Map<string, unknown> }).entries.size).toBeLessThanOrEqual(256);
});
