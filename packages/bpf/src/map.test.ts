import { countCpus } from './cpus.ts';
import { indexKey, lpmKey, splitPerCpu, sumPerCpu } from './map.ts';

test('lpmKey() has the length in the byte order of the machine, then the address', () => {
  expect(lpmKey(24, Uint8Array.of(10, 1, 2, 0))).toEqual(Uint8Array.of(24, 0, 0, 0, 10, 1, 2, 0));
  expect(indexKey(258)).toEqual(Uint8Array.of(2, 1, 0, 0));
});

test('sumPerCpu() adds up what each processor counted, beyond 32 bits', () => {
  const value = new Uint8Array(32);
  const view = new DataView(value.buffer);
  view.setBigUint64(0, 2n ** 40n, true);
  view.setBigUint64(8, 1n, true);
  view.setBigUint64(16, 5n, true);
  view.setBigUint64(24, 2n, true);
  expect(sumPerCpu(value, 16)).toEqual([2 ** 40 + 5, 3]);
  expect(splitPerCpu(value, 12).map(({ length }) => length)).toEqual([12, 12]);
});

test.each([
  ['0\n', 1],
  ['0-1\n', 2],
  ['0-3,8-11\n', 12],
])('countCpus() of %j', (list, count) => {
  expect(countCpus(list)).toBe(count);
});
