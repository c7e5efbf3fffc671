/** The npm commands, once the machine is ready for them. Bundled and called by run.mjs. */
import { conformance } from '../ci/conformance.ts';
import { ephemeral } from '../ci/ephemeral.ts';
import { janitor } from '../ci/janitor.ts';
import { awsPreview } from './commands/aws-preview.ts';
import { awsState } from './commands/aws-state.ts';
import { bench } from './commands/bench.ts';
import { build, etcdArtifact, flannelImage } from './commands/build.ts';
import { image, kubeconfig, kubectl } from './commands/cluster.ts';
import { down } from './commands/down.ts';
import { fuzz } from './commands/fuzz.ts';
import { logs } from './commands/logs.ts';
import { start, stop } from './commands/power.ts';
import { pulumiCommand } from './commands/pulumi.ts';
import { shell } from './commands/shell.ts';
import { stacks } from './commands/stacks.ts';
import { status } from './commands/status.ts';
import { test } from './commands/test.ts';
import { checkUp, up } from './commands/up.ts';
import type { Command, Context, Options } from './context.ts';

const COMMANDS: Readonly<Record<string, Command>> = {
  up,
  down,
  stop,
  start,
  stacks,
  'aws-preview': awsPreview,
  'aws-state': awsState,
  status,
  logs,
  shell,
  kubectl,
  kubeconfig,
  image,
  pulumi: pulumiCommand,
  build,
  'etcd-artifact': etcdArtifact,
  'flannel-image': flannelImage,
  test,
  bench,
  fuzz,
  ephemeral,
  conformance,
  janitor,
};

/** What a command can see to be wrong before the machine is prepared for it. Throws. */
export function checkCommand(context: Context, name: string, options: Options): void {
  if (name === 'up') checkUp(context, options);
}

/** Gives the exit code. */
export function runCommand(context: Context, name: string, options: Options): Promise<number> {
  return COMMANDS[name]!(context, options);
}
