import { median, summarize } from './result.ts';

test('median() is the middle, or the mean of the two in the middle', () => {
  expect(median([9, 1, 5])).toBe(5);
  expect(median([4, 1, 3, 2])).toBe(2.5);
});

test('median() refuses an empty list', () => {
  expect(() => median([])).toThrow('There is no median of nothing');
});

test('summarize() compares medians', () => {
  const result = summarize('add', 'ms', [10, 12, 11], { name: 'bridge (Go)', runs: [20, 24, 22] });
  expect(result).toEqual({
    name: 'add',
    unit: 'ms',
    value: 11,
    peer: { name: 'bridge (Go)', value: 22 },
    ratio: 0.5,
    runs: [10, 12, 11],
  });
});
