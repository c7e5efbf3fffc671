import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type * as fuzzing from '../../../daemon/testing/engine/fuzz.ts';
import { bundle } from '../../build/bundle.mjs';
import { say } from '../../setup/progress.mjs';
import type { Context, Options } from '../context.ts';

/** Half of the time for the engines, half for the parsers. Ends with 1 at the first difference, and says how to see it again. */
export async function fuzz({ root }: Context, { seconds, seed }: Options): Promise<number> {
  const file = await bundle(root, 'daemon/testing/engine/fuzz.ts', 'dist/tools/fuzz.cjs');
  const program = createRequire(file)(file) as typeof fuzzing;
  const first = seed ?? Math.floor(Math.random() * 2 ** 32);
  say(`Seed ${first}, ${seconds} s`);
  try {
    const { cases, packets } = program.fuzz(first, seconds / 2);
    say(`Engines: ${cases} cases, ${packets} packets: no difference`);
  } catch (error) {
    say((error as Error).message);
    return 1;
  }
  return fuzzParsers(root, first, seconds / 2);
}

/** What is found wrong is printed by fast-check, with the smallest input that shows it. */
function fuzzParsers(root: string, seed: number, seconds: number): number {
  const jest = join(root, 'node_modules/jest/bin/jest.js');
  // fast-check's seeds are signed.
  const env = { ...process.env, FUZZ_SECONDS: String(seconds), FUZZ_SEED: String(seed | 0) };
  const { status } = spawnSync(process.execPath, [jest, 'tools/fuzz', '--selectProjects=unit'], {
    cwd: root,
    env,
    stdio: 'inherit',
  });
  return status === 0 ? 0 : 1;
}
