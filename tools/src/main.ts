/** The npm commands, once the machine is ready for them. Bundled and called by run.mjs. */
import { conformance } from '../ci/conformance.ts';
import { ephemeral } from '../ci/ephemeral.ts';
import { janitor } from '../ci/janitor.ts';
import { bench } from './commands/bench.ts';
import { down } from './commands/down.ts';
import { fuzz } from './commands/fuzz.ts';
import { logs } from './commands/logs.ts';
import { pulumiCommand } from './commands/pulumi.ts';
import { shell } from './commands/shell.ts';
import { status } from './commands/status.ts';
import { test } from './commands/test.ts';
import { up } from './commands/up.ts';
import type { Command, Context, Options } from './context.ts';

const COMMANDS: Readonly<Record<string, Command>> = {
  up,
  down,
  status,
  logs,
  shell,
  pulumi: pulumiCommand,
  test,
  bench,
  fuzz,
  ephemeral,
  conformance,
  janitor,
};

/** Gives the exit code. */
export function runCommand(context: Context, name: string, options: Options): Promise<number> {
  return COMMANDS[name]!(context, options);
}
