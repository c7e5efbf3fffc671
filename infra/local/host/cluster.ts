/** A cluster as its API server sees it: its nodes Ready, and the objects that every cluster has. */

import { setTimeout as sleep } from 'node:timers/promises';
import { netnsExists } from '@flannel-ts/linux/netns';
import { InfraError } from '../../errors.ts';
import { machineRoot, netnsPath } from '../names.ts';
import { type CommandResult, runCommand } from './command.ts';
import { ABSENT, handler } from './resource.ts';
import { waitUntilReady } from './served.ts';

/** As much of a Kubernetes object as its name needs. */
export interface KubernetesObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
}

export interface ClusterInputs {
  readonly stack: string;
  /** The machine of the control plane: kubectl runs in its network. */
  readonly machine: string;
  /** The id of its units. */
  readonly host: string;
  readonly kubectl: string;
  readonly kubeconfig: string;
  readonly nodes: readonly string[];
  readonly objects: readonly KubernetesObject[];
  /** Whether flanneld is a pod of every node: the API server may say yet what was before a start. */
  readonly flanneldInPods?: boolean;
}

export interface ClusterOutputs {
  /** What Kubernetes gave each node, where it does. */
  readonly podSubnets: Readonly<Record<string, string>>;
}

const READY_SECONDS = 120;
const MANAGER = 'flannel-stack';

export const cluster = handler<ClusterInputs, ClusterOutputs>({
  id: ({ host }) => `${host}/cluster`,
  identity: ['stack', 'machine', 'host'],
  ignored: ['kubectl'],
  async ensure(inputs, old) {
    const { nodes, objects } = inputs;
    await forgetNodes(inputs);
    const gone = (old?.objects ?? []).filter((object) => !objects.some((each) => nameOf(each) === nameOf(object)));
    if (gone.length > 0) await must(inputs, ['delete', '--ignore-not-found', '--filename=-'], listOf(gone));
    await apply(inputs);
    if (nodes.length > 0) {
      await until(inputs, ['get', ...nodes.map((node) => `node/${node}`)]); // kubelet may not have come to it yet
      await must(inputs, ['wait', '--for=condition=Ready', timeout(), ...nodes.map((node) => `node/${node}`)]);
    }
    for (const node of inputs.flanneldInPods ? nodes : []) {
      await waitUntilReady(node, machineRoot(inputs.stack, node), READY_SECONDS * 1000);
    }
    for (const object of objects.filter(({ kind }) => kind === 'Deployment' || kind === 'DaemonSet')) {
      const { namespace = 'default', name } = object.metadata;
      await must(inputs, ['rollout', 'status', timeout(), `--namespace=${namespace}`, `${object.kind}/${name}`]);
    }
    return { podSubnets: await podSubnets(inputs) };
  },
  async observe(props) {
    if (!netnsExists(netnsPath(props.stack, props.machine))) return ABSENT;
    const drift = await problemOf(props);
    return { present: true, ...(drift && { drift }) };
  },
  // It is in etcd, and goes with it.
  async remove() {},
});

/** Server-side: what others have added to the objects stays. */
async function apply(inputs: ClusterInputs): Promise<void> {
  if (inputs.objects.length === 0) return;
  const command = ['apply', '--server-side', '--force-conflicts', `--field-manager=${MANAGER}`, '--filename=-'];
  await must(inputs, command, listOf(inputs.objects));
}

/** Nodes whose machines are no part of the stack any more. */
async function forgetNodes(inputs: ClusterInputs): Promise<void> {
  const present = (await must(inputs, ['get', 'nodes', '--output=name'])).trim().split('\n');
  const gone = present.filter((name) => name !== '' && !inputs.nodes.includes(name.replace('node/', '')));
  if (gone.length > 0) await must(inputs, ['delete', ...gone]);
}

async function problemOf(props: ClusterInputs): Promise<string | undefined> {
  const nodes = await kubectl(props, ['get', 'nodes', '--output=json']);
  if (nodes.code !== 0) return `The API server does not answer: ${nodes.stderr.trim()}`;
  const { items } = JSON.parse(nodes.stdout) as { items: readonly NodeObject[] };
  for (const name of props.nodes) {
    const node = items.find(({ metadata }) => metadata.name === name);
    const ready = node?.status.conditions.find(({ type }) => type === 'Ready');
    if (ready?.status !== 'True') return `Node ${name} is not Ready${ready ? `: ${ready.message}` : ''}`;
  }
  if (props.objects.length === 0) return undefined;
  const objects = await kubectl(props, ['get', '--output=name', '--filename=-'], listOf(props.objects));
  return objects.code === 0 ? undefined : objects.stderr.trim().split('\n')[0];
}

async function podSubnets(inputs: ClusterInputs): Promise<ClusterOutputs['podSubnets']> {
  const { items } = JSON.parse(await must(inputs, ['get', 'nodes', '--output=json'])) as {
    items: readonly NodeObject[];
  };
  return Object.fromEntries(items.map(({ metadata, spec }) => [metadata.name, spec?.podCIDR ?? '']));
}

interface NodeObject {
  readonly metadata: { readonly name: string };
  readonly spec?: { readonly podCIDR?: string };
  readonly status: { readonly conditions: readonly { type: string; status: string; message: string }[] };
}

async function must(inputs: ClusterInputs, args: readonly string[], input?: string): Promise<string> {
  const { code, stdout, stderr } = await kubectl(inputs, args, input);
  if (code === 0) return stdout;
  throw new InfraError('COMMAND_FAILED', `kubectl ${args.slice(0, 2).join(' ')} failed: ${(stderr || stdout).trim()}`);
}

async function until(inputs: ClusterInputs, args: readonly string[]): Promise<void> {
  const deadline = Date.now() + READY_SECONDS * 1000;
  while ((await kubectl(inputs, args)).code !== 0) {
    if (Date.now() > deadline) await must(inputs, args); // says why not
    await sleep(200);
  }
}

function kubectl(inputs: ClusterInputs, args: readonly string[], input?: string): Promise<CommandResult> {
  const { stack, machine, kubectl: program, kubeconfig } = inputs;
  return runCommand(
    [program, `--kubeconfig=${kubeconfig}`, `--cache-dir=${machineRoot(stack, machine)}/run/kubectl`, ...args],
    {
      netns: netnsPath(stack, machine),
      timeoutMs: (READY_SECONDS + 10) * 1000,
      ...(input !== undefined && { input }),
    },
  );
}

function timeout(): string {
  return `--timeout=${READY_SECONDS}s`;
}

function listOf(items: readonly KubernetesObject[]): string {
  return JSON.stringify({ apiVersion: 'v1', kind: 'List', items });
}

function nameOf({ apiVersion, kind, metadata: { namespace, name } }: KubernetesObject): string {
  return `${apiVersion.replace(/\/.*/, '')}/${kind}/${namespace ?? ''}/${name}`;
}
