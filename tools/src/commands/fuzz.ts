import { createRequire } from 'node:module';
import type * as fuzzing from '../../../daemon/testing/engine/fuzz.ts';
import { bundle } from '../../build/bundle.mjs';
import { say } from '../../setup/progress.mjs';
import type { Context, Options } from '../context.ts';

/** Ends with 1 at the first difference, and says how to see it again. */
export async function fuzz({ root }: Context, { seconds, seed }: Options): Promise<number> {
  const file = await bundle(root, 'daemon/testing/engine/fuzz.ts', 'dist/tools/fuzz.cjs');
  const program = createRequire(file)(file) as typeof fuzzing;
  const first = seed ?? Math.floor(Math.random() * 2 ** 32);
  say(`Seed ${first}, ${seconds} s`);
  try {
    const { cases, packets } = program.fuzz(first, seconds);
    say(`${cases} cases, ${packets} packets: no difference`);
    return 0;
  } catch (error) {
    say((error as Error).message);
    return 1;
  }
}
