import { existsSync } from 'node:fs';
import { halt } from '@flannel-ts/infra/local/host/sweep';
import { stackDirectory } from '@flannel-ts/infra/local/names';
import { ToolError } from '../../setup/errors.mjs';
import { say } from '../../setup/progress.mjs';
import type { Context, Options } from '../context.ts';
import { Pulumi } from '../pulumi/cli.ts';
import { flag } from '../pulumi/names.ts';
import { whileAlone } from '../pulumi/stack.ts';
import { up } from './up.ts';

/** Its settings and its state stay as well: "start" brings all of it back. */
export async function stop(context: Context, { stack }: Options): Promise<number> {
  assertHasDisks(stack);
  await whileAlone(new Pulumi(context), stack, () => halt(stack)); // an "up" under way would start them again
  say(`Stack "${stack}" is off: "npm run start${flag(stack)}" switches it on`);
  return 0;
}

/** An `up` finds out what is not there. */
export async function start(context: Context, options: Options): Promise<number> {
  assertHasDisks(options.stack);
  return up(context, options);
}

function assertHasDisks(stack: string): void {
  if (existsSync(stackDirectory(stack))) return;
  throw new ToolError(
    'NO_STACK',
    `Stack "${stack}" has nothing on this machine: "npm run up${flag(stack)}" makes it, "npm run stacks" lists those that exist`,
  );
}
