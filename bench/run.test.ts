import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { summarize } from './result.ts';
import { formatResult, runBenchmarks } from './run.ts';

test('runBenchmarks() writes the results of all, in order, with machine, kernel and date', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'fltest-bench-'));
  try {
    const jsonFile = join(directory, 'new', 'bench.json');
    const said: string[] = [];
    const benchmarks = ['first', 'second'].map((name) => ({
      name,
      run: async () => [summarize(`${name}-a`, 'ms', [1, 2, 3])],
    }));
    await runBenchmarks(benchmarks, { jsonFile, say: (line) => said.push(line) });
    const report = JSON.parse(readFileSync(jsonFile, 'utf8'));
    expect(Object.keys(report)).toEqual(['machine', 'kernel', 'date', 'results']);
    expect(new Date(report.date).toISOString()).toBe(report.date);
    expect(report.results.map(({ name }: { name: string }) => name)).toEqual(['first-a', 'second-a']);
    expect(said).toEqual([
      'first:',
      expect.stringContaining('first-a: 2 ms'),
      'second:',
      expect.stringContaining('second-a'),
    ]);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('formatResult() shows value, spread, peer and ratio', () => {
  const result = summarize('ADD', 'ms', [5.04, 4, 6], { name: 'bridge (Go)', runs: [10] });
  expect(formatResult(result)).toBe('ADD: 5.04 ms (median of 3, 4 to 6); bridge (Go) 10 ms, ratio 0.504');
});
