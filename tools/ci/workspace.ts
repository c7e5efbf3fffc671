/** Pulumi's Automation API on this project, with the state and the passphrase that the other commands use. */
import { existsSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { LocalWorkspace, Stack } from '@pulumi/pulumi/automation';
import { ToolError } from '../setup/errors.mjs';
import type { Context } from '../src/context.ts';
import { Pulumi } from '../src/pulumi/cli.ts';
import { MARK } from '../src/pulumi/orphans.ts';
import { createStack, stackExists } from '../src/pulumi/stack.ts';
import { TAGS } from './expiry.ts';
import type { Origin } from './names.ts';

/** A local environment is on one machine, and can be removed only there. */
export const MACHINE_TAG = 'flannel:machine';
/** Backends limit what a tag may hold; the name has a hash of the whole. */
const MAX_TAG_LENGTH = 200;

export interface Ci {
  readonly context: Context;
  readonly pulumi: Pulumi;
  readonly workspace: LocalWorkspace;
}

/** `mark`: the stack whose updates the processes of this run belong to. */
export async function openCi(context: Context, mark?: string): Promise<Ci> {
  const pulumi = new Pulumi(context);
  const marked = mark === undefined ? {} : { [MARK]: pulumi.mark(mark) };
  // The Automation API asks the CLI for its version with this process's environment, and the CLI makes its home at that.
  Object.assign(process.env, pulumi.backend.env, marked);
  const { LocalWorkspace } = await import('@pulumi/pulumi/automation/index.js');
  return { context, pulumi, workspace: await LocalWorkspace.create({ workDir: context.root }) };
}

/** The stack must exist. */
export async function selectStack({ workspace }: Ci, name: string): Promise<Stack> {
  const { Stack } = await import('@pulumi/pulumi/automation/index.js');
  return Stack.select(name, workspace);
}

/** Makes it if it does not exist. An earlier run of the same commit may have left it. */
export async function makeStack(ci: Ci, name: string, origin: Origin, ttl: string): Promise<Stack> {
  if (!(await stackExists(ci.pulumi, name))) await createStack(ci.pulumi, name);
  const { branch, commit, environment } = origin;
  const machine = environment === 'local' ? { [MACHINE_TAG]: hostname() } : {};
  const tags = { [TAGS.ttl]: ttl, [TAGS.branch]: branch, [TAGS.commit]: commit, [TAGS.environment]: environment };
  for (const [key, value] of Object.entries({ ...tags, ...machine })) {
    await ci.workspace.setTag(name, key, value.slice(0, MAX_TAG_LENGTH));
  }
  return selectStack(ci, name);
}

/** The settings that every CI stack in a cloud has: those of the stack `ci`, which need not exist itself. */
export async function cloudSettings({ context, pulumi }: Ci, name: string): Promise<string> {
  const file = join(context.root, 'stacks', 'Pulumi.ci.yaml');
  if (!existsSync(file))
    throw new ToolError('NO_SETTINGS', `${file} is missing: it has the settings of stacks made for CI`);
  return pulumi.ask(['config', '--json', '--stack', name, '--config-file', file]);
}
