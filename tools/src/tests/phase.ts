/** One run of Jest, and the second look at what failed in it only beside others. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Phase } from './plan.ts';
import type { JestResults, JestRun } from './results.ts';
import { type Outcome, outcomeOf, toLookAtAgain } from './second-look.ts';

/** Runs Jest with these arguments and resolves to its exit code. */
export type Execute = (args: readonly string[]) => Promise<number>;

export async function runPhase(
  phase: Phase,
  testName: string | undefined,
  execute: Execute,
  say: (line: string) => void,
): Promise<Outcome> {
  const named = testName === undefined ? [] : [`--testNamePattern=${testName}`];
  // Patterns before --selectProjects, which would take them for projects.
  const args = [...phase.patterns, '--selectProjects', ...phase.kinds, '--passWithNoTests', ...named];
  const first = await runJest([...args, `--maxWorkers=${phase.workers}`], execute);
  const again = phase.secondLook ? toLookAtAgain(first) : [];
  if (again.length === 0) return outcomeOf(first);
  say(`\nOnce more, alone: ${again.join(', ')}`);
  const alone = ['--runTestsByPath', ...again, '--selectProjects', ...phase.kinds, ...named, '--maxWorkers=1'];
  return outcomeOf(first, await runJest(alone, execute));
}

async function runJest(args: readonly string[], execute: Execute): Promise<JestRun> {
  const directory = mkdtempSync(join(tmpdir(), 'flannel-ts-test-'));
  try {
    const outputFile = join(directory, 'results.json');
    const code = await execute([...args, '--json', `--outputFile=${outputFile}`]);
    const results = existsSync(outputFile) ? (JSON.parse(readFileSync(outputFile, 'utf8')) as JestResults) : undefined;
    return { results, code };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
