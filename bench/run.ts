/** Runs benchmarks one after the other and says what they gave. */
import { cpus, release } from 'node:os';
import { round, spread } from './markdown.ts';
import type { Benchmark, Report, Result } from './result.ts';

export async function runBenchmarks(benchmarks: readonly Benchmark[], say: (line: string) => void): Promise<Report> {
  const results: Result[] = [];
  let flannel: string | undefined;
  for (const { name, run, summary, flannelVersion } of benchmarks) {
    say(`${name}:`);
    flannel ??= flannelVersion?.();
    const own = await run();
    results.push(...own);
    say(summary?.(own) ?? own.map((result) => `  ${formatResult(result)}`).join('\n'));
  }
  return { ...describeMachine(), ...(flannel && { flannel }), results };
}

/** One report of several, made one after the other on one machine. */
export function mergeReports(reports: readonly Report[]): Report {
  const [first, ...others] = reports;
  if (first === undefined) throw new Error('There is no report to merge');
  for (const { machine, kernel } of others) {
    if (machine !== first.machine || kernel !== first.kernel) {
      throw new Error(`Figures of ${first.machine}, ${first.kernel} and of ${machine}, ${kernel} are not of one page`);
    }
  }
  const versions = new Set(reports.flatMap(({ flannel }) => flannel ?? []));
  if (versions.size > 1) throw new Error(`Figures of flannel ${[...versions].join(' and ')} are not of one page`);
  const [flannel] = versions;
  const date = reports
    .map((report) => report.date)
    .sort()
    .at(-1)!;
  return { ...first, ...(flannel && { flannel }), date, results: reports.flatMap(({ results }) => results) };
}

export function formatResult({ name, unit, value, peer, ratio, runs }: Result): string {
  const own = `${name}: ${round(value)} ${unit} (median of ${runs.length}, ${spread(runs)})`;
  return peer === undefined
    ? own
    : `${own}; ${peer.name} ${round(peer.value)} ${unit}, ratio ${round(ratio ?? Number.NaN)}`;
}

function describeMachine(): Omit<Report, 'results'> {
  const processors = cpus();
  const model = processors[0]?.model.trim() ?? 'unknown processor';
  return { machine: `${model}, ${processors.length} CPUs`, kernel: release(), date: new Date().toISOString() };
}
