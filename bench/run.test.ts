import { summarize } from './result.ts';
import { formatResult, mergeReports, runBenchmarks } from './run.ts';

test('runBenchmarks() gives the results of all, in order, with machine, kernel and date', async () => {
  const said: string[] = [];
  const benchmarks = ['first', 'second'].map((name) => ({
    name,
    run: async () => [summarize(`${name}-a`, 'ms', [1, 2, 3])],
  }));
  const report = await runBenchmarks(benchmarks, (line) => said.push(line));
  expect(Object.keys(report)).toEqual(['machine', 'kernel', 'date', 'results']);
  expect(new Date(report.date).toISOString()).toBe(report.date);
  expect(report.results.map(({ name }) => name)).toEqual(['first-a', 'second-a']);
  expect(said).toEqual([
    'first:',
    expect.stringContaining('first-a: 2 ms'),
    'second:',
    expect.stringContaining('second-a'),
  ]);
});

const add = summarize('ADD', 'ms', [5.04, 4, 6], { name: 'bridge (Go)', runs: [10] });

test('formatResult() shows value, spread, peer and ratio', () => {
  expect(formatResult(add)).toBe('ADD: 5.04 ms (median of 3, 4 to 6); bridge (Go) 10 ms, ratio 0.504');
});

test('runBenchmarks() names the version of flannel that took part', async () => {
  const other = { name: 'other', run: async () => [add] };
  const withFlannel = { ...other, flannelVersion: () => 'v1.2.3' };
  expect(await runBenchmarks([other, withFlannel, other], () => {})).toMatchObject({ flannel: 'v1.2.3' });
});

test('mergeReports() keeps the version of flannel, and refuses two', () => {
  const report = { machine: 'm', kernel: 'k', date: '2026-01-02T00:00:00.000Z', results: [add] };
  const of = (flannel: string) => ({ ...report, flannel });
  expect(mergeReports([report, of('v1'), report])).toMatchObject({ flannel: 'v1' });
  expect(() => mergeReports([of('v1'), of('v2')])).toThrow('Figures of flannel v1 and v2 are not of one page');
});

test('mergeReports() puts results one after the other, and has the last date', () => {
  const report = { machine: 'm', kernel: 'k', date: '2026-01-02T00:00:00.000Z', results: [add] };
  const later = { ...report, date: '2026-01-03T00:00:00.000Z', results: [summarize('up', 's', [9])] };
  expect(mergeReports([later, report])).toEqual({ ...later, results: [...later.results, add] });
});

test('mergeReports() refuses figures of another machine or kernel', () => {
  const report = { machine: 'm', kernel: '6.1', date: '', results: [] };
  expect(() => mergeReports([report, { ...report, kernel: '6.2' }])).toThrow('Figures of m, 6.1 and of m, 6.2');
  expect(() => mergeReports([])).toThrow('no report');
});
