import { judge } from './support/numbered.ts';

test('judge() counts what is lost, what comes twice and what comes after a later one', () => {
  const sentAt = [10, 20, 30, 40, 50];
  expect(judge(sentAt, [0, 1, 2, 3, 4])).toEqual({ sent: 5, lost: [], duplicates: 0, late: 0 });
  expect(judge(sentAt, [0, 2, 1, 2, 4])).toEqual({ sent: 5, lost: [40], duplicates: 1, late: 1 });
  expect(judge(sentAt, [])).toEqual({ sent: 5, lost: sentAt, duplicates: 0, late: 0 });
});
