import { Watchdog } from './watchdog.ts';

describe('Watchdog', () => {
  test('observe() barks at the tick that is one too many, and no more once the counter moves', () => {
    const watchdog = new Watchdog(5, 3);
    expect([5, 5, 5, 5, 6, 6, 6, 6].map((count) => watchdog.observe(count))).toEqual([
      ...[false, false, true, true],
      ...[false, false, false, true],
    ]);
  });

  test('observe() takes a counter that wraps around for a moving one', () => {
    const watchdog = new Watchdog(0x7fffffff, 1);
    expect(watchdog.observe(-0x80000000)).toBe(false);
  });
});
