/** Runs benchmarks one after the other, shows the results and writes them down. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { dirname } from 'node:path';
import type { Benchmark, Report, Result } from './result.ts';

export interface BenchOptions {
  readonly jsonFile?: string;
  readonly say: (line: string) => void;
}

export async function runBenchmarks(
  benchmarks: readonly Benchmark[],
  { jsonFile, say }: BenchOptions,
): Promise<Report> {
  const results: Result[] = [];
  for (const { name, run } of benchmarks) {
    say(`${name}:`);
    for (const result of await run()) {
      results.push(result);
      say(`  ${formatResult(result)}`);
    }
  }
  const report = { ...describeMachine(), results };
  if (jsonFile !== undefined) {
    mkdirSync(dirname(jsonFile), { recursive: true });
    writeFileSync(jsonFile, `${JSON.stringify(report, undefined, 2)}\n`);
  }
  return report;
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
