/** A stack's cluster from outside: kubectl in its network, its kubeconfig, images for its nodes. */
import { existsSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { runInMachine } from '@flannel-ts/infra/local/host/machine-process';
import { importCommand } from '@flannel-ts/infra/local/host/units';
import { machineRoot, netnsPath, stackDirectory } from '@flannel-ts/infra/local/names';
import { kubeconfigName } from '@flannel-ts/infra/node/kubernetes/credentials';
import { kubeconfigFile } from '@flannel-ts/infra/node/kubernetes/settings';
import { ToolError, UsageError } from '../../setup/errors.mjs';
import { run } from '../../setup/exec.mjs';
import { say, step } from '../../setup/progress.mjs';
import { runInteractive } from '../children.ts';
import type { Context, Options } from '../context.ts';
import { isInKubeconfigs, mergeKubeconfig, removeFromKubeconfigs } from '../kubeconfig/merge.ts';
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

export async function kubeconfig(context: Context, options: Options): Promise<number> {
  const { stack, words } = options;
  switch (words[0]) {
    case undefined:
      process.stdout.write(await readKubeconfig(context, stack));
      return 0;
    case 'merge':
      await mergeKubeconfig(context.env, stack, await readKubeconfig(context, stack));
      return 0;
    case 'remove':
      if (!(await removeFromKubeconfigs(context.env, stack))) say(`No kubeconfig has ${kubeconfigName(stack)}`);
      return 0;
    default:
      throw new UsageError(`"kubeconfig" cannot "${words[0]}": use "merge", "remove" or nothing, which prints it`);
  }
}

async function readKubeconfig(context: Context, stack: string): Promise<string> {
  const outputs = (await readOutputs(new Pulumi(context), stack, { secrets: true })) as
    | { kubeconfig?: string }
    | undefined;
  if (outputs?.kubeconfig === undefined) throw noCluster(stack);
  return outputs.kubeconfig;
}

/** Other port, other certificates: those who have merged it get what it is now. */
export async function renewKubeconfigs(context: Context, stack: string): Promise<void> {
  if (!isInKubeconfigs(context.env, stack)) return;
  await mergeKubeconfig(context.env, stack, await readKubeconfig(context, stack));
}

/** Also pods that were there before: after a start, a change of images, a node that was away. */
export async function untilPodsReady(stack: string, seconds: number): Promise<void> {
  const [program, ...args] = kubectlCommand(stack);
  await step(`Waiting for the pods of stack "${stack}"`, async () => {
    const ended = '--field-selector=status.phase!=Succeeded,status.phase!=Failed';
    const all = ['pods', '--all-namespaces', ended];
    const wait = ['wait', '--for=condition=Ready', `--timeout=${seconds}s`, ...all];
    await run(program!, [...args, ...wait]).catch(async () => {
      const pods = await run(program!, [...args, 'get', ...all]);
      throw new ToolError('NOT_READY', `Not all pods are ready after ${seconds} s:\n${pods.trim()}`);
    });
  });
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
