import * as errno from './errno.ts';

const exported: Readonly<Record<string, unknown>> = errno;
const negative = Object.entries(exported).filter((entry): entry is [string, number] => typeof entry[1] === 'number');

test.each(negative)('%s is its number in the table, negated', (name, value) => {
  expect(-value).toBe(errno.ERRNO[name]);
  expect(errno.errnoName(-value)).toBe(name);
});

test('errnoName() knows the numbers that node:os leaves out, and writes those without a name', () => {
  expect([17, 95, 112, 4095].map(errno.errnoName)).toEqual(['EEXIST', 'EOPNOTSUPP', 'EHOSTDOWN', 'E4095']);
});
