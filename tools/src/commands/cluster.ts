/** A stack's cluster from outside: kubectl in its network, its kubeconfig, images for its nodes. */
import { existsSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { runInMachine } from '@flannel-ts/infra/local/host/machine-process';
import { importCommand } from '@flannel-ts/infra/local/host/units';
import { machineRoot, netnsPath, stackDirectory } from '@flannel-ts/infra/local/names';
import { kubeconfigFile } from '@flannel-ts/infra/node/kubernetes/settings';
import { ToolError, UsageError } from '../../setup/errors.mjs';
import { say } from '../../setup/progress.mjs';
import { runInteractive } from '../children.ts';
import type { Context, Options } from '../context.ts';
import { Pulumi } from '../pulumi/cli.ts';
import { flag } from '../pulumi/names.ts';
import { readOutputs } from '../pulumi/stack.ts';

export const CONTROL = 'control-0';
const IMPORT_MS = 600_000;

/** Ends with kubectl's exit code. */
export async function kubectl({ env }: Context, { stack, words }: Options): Promise<number> {
  const [program, ...args] = kubectlCommand(stack);
  return runInteractive(program!, [...args, ...words], { env });
}

/** The argument vector of kubectl for the administrator, in the network of the control plane. */
export function kubectlCommand(stack: string): string[] {
  const kubeconfig = kubeconfigFile(machineRoot(stack, CONTROL), 'admin');
  const programs = join(stackDirectory(stack), 'kubernetes');
  const program = existsSync(programs)
    ? readdirSync(programs)
        .map((version) => join(programs, version, 'bin/kubectl'))
        .find((path) => existsSync(path))
    : undefined;
  if (program === undefined || !existsSync(kubeconfig)) throw noCluster(stack);
  // What it knows of this API server's resources must not be taken for another's of the same address.
  const cache = `--cache-dir=${machineRoot(stack, CONTROL)}/run/kubectl`;
  return ['nsenter', `--net=${netnsPath(stack, CONTROL)}`, '--', program, `--kubeconfig=${kubeconfig}`, cache];
}

export async function kubeconfig(context: Context, { stack }: Options): Promise<number> {
  const outputs = (await readOutputs(new Pulumi(context), stack, { secrets: true })) as
    | { kubeconfig?: string }
    | undefined;
  if (outputs?.kubeconfig === undefined) throw noCluster(stack);
  process.stdout.write(outputs.kubeconfig);
  return 0;
}

export async function image(_: Context, { stack, words }: Options): Promise<number> {
  const [verb, ...files] = words;
  if (verb !== 'load') throw new UsageError(`"image" cannot "${verb}": use "load"`);
  const missing = files.find((file) => !existsSync(file));
  if (missing !== undefined) throw new UsageError(`${missing} does not exist`);
  await loadImages(stack, files);
  return 0;
}

/** Into all nodes, one after the other: each reads the whole archive. */
export async function loadImages(stack: string, files: readonly string[]): Promise<void> {
  const nodes = workersOf(stack);
  if (nodes.length === 0) throw noCluster(stack);
  for (const file of files) {
    for (const machine of nodes) await load(stack, machine, resolve(file));
  }
}

/** What is mounted in a machine is what was there when it started: the archive comes by its standard input. */
async function load(stack: string, machine: string, file: string): Promise<void> {
  const inside = ['sh', '-c', 'exec <"$0"; exec "$@"', file, ...importCommand('-')];
  const { code, stdout, stderr } = await runInMachine({ stack, machine }, inside, { timeoutMs: IMPORT_MS });
  if (code !== 0) throw new ToolError('IMAGE', `${machine} cannot import ${file}: ${(stderr || stdout).trim()}`);
  for (const line of stdout.trim().split('\n'))
    say(`${machine}: ${line.replace(/^unpacking /, '').replace(/ \(.*/, '')}`);
}

function workersOf(stack: string): string[] {
  const nodes = join(stackDirectory(stack), 'nodes');
  if (!existsSync(nodes)) return [];
  return readdirSync(nodes).filter((name) => existsSync(join(nodes, name, 'run/units/kubelet.json')));
}

function noCluster(stack: string): ToolError {
  return new ToolError(
    'NO_CLUSTER',
    `Stack "${stack}" has no cluster: "npm run up${flag(stack, '--kubernetes')}" makes one`,
  );
}
