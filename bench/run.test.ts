import { summarize } from './result.ts';
import { formatMarkdown, formatResult, runBenchmarks } from './run.ts';

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

test('formatMarkdown() makes a row of each result and names machine, kernel and day', () => {
  const page = formatMarkdown({
    machine: 'a processor, 2 CPUs',
    kernel: '6.1',
    date: '2026-01-02T03:04:05.000Z',
    results: [add, summarize('up', 's', [9])],
  });
  expect(page).toContain('on 2026-01-02: a processor, 2 CPUs, Linux 6.1.');
  expect(page).toContain('| ADD | ms | 5.04 | 4 to 6 | bridge (Go): 10 | 0.504 |\n| up | s | 9 | 9 to 9 |  |  |\n');
});
