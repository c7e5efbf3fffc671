/** Runs benchmarks one after the other and says what they gave. */
import { cpus, release } from 'node:os';
import type { Benchmark, Report, Result } from './result.ts';

export async function runBenchmarks(benchmarks: readonly Benchmark[], say: (line: string) => void): Promise<Report> {
  const results: Result[] = [];
  for (const { name, run, summary } of benchmarks) {
    say(`${name}:`);
    const own = await run();
    results.push(...own);
    say(summary?.(own) ?? own.map((result) => `  ${formatResult(result)}`).join('\n'));
  }
  return { ...describeMachine(), results };
}

/** The report as a page. */
export function formatMarkdown({ machine, kernel, date, results }: Report): string {
  const rows = results.map(({ name, unit, value, peer, ratio, runs }) => {
    const other = peer === undefined ? ['', ''] : [`${peer.name}: ${round(peer.value)}`, round(ratio ?? Number.NaN)];
    return `| ${[name, unit, round(value), spread(runs), ...other].join(' | ')} |`;
  });
  return `# Performance

Made by \`npm run bench\` on ${date.slice(0, 10)}: ${machine}, Linux ${kernel}.
Medians; what is compared was measured in turns in the same run. Absolute times are this machine's.

| what | unit | median | smallest to largest | compared with | ratio |
|---|---|---|---|---|---|
${rows.join('\n')}
`;
}

export function formatResult({ name, unit, value, peer, ratio, runs }: Result): string {
  const own = `${name}: ${round(value)} ${unit} (median of ${runs.length}, ${spread(runs)})`;
  return peer === undefined
    ? own
    : `${own}; ${peer.name} ${round(peer.value)} ${unit}, ratio ${round(ratio ?? Number.NaN)}`;
}

function spread(runs: readonly number[]): string {
  return `${round(Math.min(...runs))} to ${round(Math.max(...runs))}`;
}

function round(value: number): string {
  return String(Number(value.toPrecision(3)));
}

function describeMachine(): Omit<Report, 'results'> {
  const processors = cpus();
  const model = processors[0]?.model.trim() ?? 'unknown processor';
  return { machine: `${model}, ${processors.length} CPUs`, kernel: release(), date: new Date().toISOString() };
}
