import { Deadline } from './deadline.ts';

test('Deadline.within() is the smaller of its limit and what is left, and code 11 at the end', () => {
  let now = 0;
  const deadline = new Deadline(100, 30, () => now);
  expect(deadline.within(50, 'wait')).toBe(50);
  now = 90;
  expect(deadline.within(50, 'wait')).toBe(10);
  now = 100;
  expect(() => deadline.within(50, 'wait for x')).toThrow(
    expect.objectContaining({ code: 11, message: 'no time was left to wait for x' }),
  );
  deadline.startRollBack();
  expect(deadline.within(50, 'wait')).toBe(30);
});
