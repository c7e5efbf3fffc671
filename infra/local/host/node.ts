/** What runs on a node: the artifact, staged and then activated, its configuration, and flanneld, ready. */
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { DEFAULT_BRIDGE } from '@flannel-ts/flannel/defaults';
import { formatPrefix, interfacePrefix, parseInterfaceAddress } from '@flannel-ts/inet/prefix';
import { netnsExists } from '@flannel-ts/linux/netns';
import { listAddresses } from '@flannel-ts/rtnetlink/address';
import { withNetlink } from '@flannel-ts/rtnetlink/connection';
import { ensureLinkAbsent, getLink } from '@flannel-ts/rtnetlink/link';
import { activateScript, stageScript } from '../../node/artifact.ts';
import { type BootFile, subnetFile, type Unit } from '../../node/files.ts';
import { machineRoot, netnsPath } from '../names.ts';
import { parseEnvironment } from '../supervisor/descriptor.ts';
import { mustRun, runCommand } from './command.ts';
import { bootFileProblem, pruneEmpty, writeBootFiles } from './files.ts';
import { ABSENT, handler } from './resource.ts';
import { type Served, waitUntilServes } from './served.ts';
import {
  configHash,
  ensureRunning,
  mark,
  type ServiceSpec,
  serviceProblem,
  stopRunning,
  waitForService,
} from './supervision.ts';

export interface StagedInputs {
  readonly stack: string;
  readonly machine: string;
  /** The machine's id: its software goes with it. */
  readonly host: string;
  readonly url: string;
  readonly sha256: string;
}

const STAGE_MS = 300_000;

/** The artifact on the node's disk, before anything runs it. */
export const stagedArtifact = handler<StagedInputs, object>({
  id: ({ host }) => host,
  identity: ['stack', 'machine', 'host'],
  ignored: ['url'],
  async ensure({ stack, machine, url, sha256 }) {
    const root = machineRoot(stack, machine);
    await mustRun(['sh', '-s'], `bring ${url} to ${machine}`, {
      input: stageScript({ root, url, sha256 }),
      timeoutMs: STAGE_MS,
    });
    return {};
  },
  async observe({ stack, machine, sha256 }) {
    return existsSync(`${machineRoot(stack, machine)}/opt/flannel/${sha256}`) ? { present: true } : ABSENT;
  },
  async remove({ stack, machine }) {
    const root = machineRoot(stack, machine);
    rmSync(`${root}/opt/flannel`, { recursive: true, force: true });
    pruneEmpty(`${root}/opt`);
  },
});

export interface NodeInputs {
  readonly stack: string;
  readonly machine: string;
  /** The machine's id: its software goes with it. */
  readonly host: string;
  /** Of the staged artifact to run. */
  readonly sha256: string;
  readonly files: readonly BootFile[];
  /** Files that hold keys. */
  readonly secretFiles: readonly BootFile[];
  readonly unit: Unit;
  /** What the service reads from etcd at its start alone: a change restarts it. */
  readonly revision: string;
  /** What the running service follows. */
  readonly serves: Served;
}

export interface NodeOutputs {
  /** The node's part of the pod network. */
  readonly podSubnet: string;
  /** MTU of the pods' interfaces. */
  readonly podMtu: number;
}

const READY_MS = 60_000;
const RELEASE_MS = 10_000;

export const node = handler<NodeInputs, NodeOutputs>({
  id: ({ host }) => host,
  identity: ['stack', 'machine', 'host'],
  async ensure(inputs) {
    const root = machineRoot(inputs.stack, inputs.machine);
    await activate(root, inputs);
    writeBootFiles([...inputs.files, ...inputs.secretFiles]);
    const spec = serviceOf(inputs);
    const since = mark(spec);
    await ensureRunning(spec);
    await waitForService(spec, 'ready', READY_MS, since);
    await waitUntilServes(inputs, root, READY_MS);
    if (bridgeProblem(inputs) !== undefined) removePodBridge(inputs);
    return podNetworkOf(inputs);
  },
  async observe(props) {
    const root = machineRoot(props.stack, props.machine);
    if (!existsSync(root) || !netnsExists(netnsPath(props.stack, props.machine))) return ABSENT;
    const drift = nodeProblem(root, props);
    if (drift !== undefined) return { present: true, drift };
    return { present: true, outputs: podNetworkOf(props) };
  },
  async remove(props) {
    await stopRunning(serviceOf(props));
    await decommission(props);
    removePodBridge(props);
    const root = machineRoot(props.stack, props.machine);
    rmSync(root, { recursive: true, force: true });
    pruneEmpty(dirname(root));
  },
});

async function activate(root: string, { machine, sha256 }: NodeInputs): Promise<void> {
  await mustRun(['sh', '-s'], `change ${machine} over to artifact ${sha256}`, {
    input: activateScript({ root, sha256 }),
  });
}

function nodeProblem(root: string, props: NodeInputs): string | undefined {
  const { files, secretFiles, sha256, machine } = props;
  if (!existsSync(`${root}/opt/flannel/current/flanneld`)) return `${machine} has lost artifact ${sha256}`;
  for (const file of [...files, ...secretFiles]) {
    const problem = bootFileProblem(file);
    if (problem !== undefined) return problem;
  }
  if (podNetworkOf(props).podSubnet === '') return `${machine} has no subnet`;
  return serviceProblem(serviceOf(props)) ?? bridgeProblem(props);
}

function serviceOf(inputs: NodeInputs): ServiceSpec {
  const { stack, machine, sha256, files, secretFiles, unit, revision } = inputs;
  return {
    stack,
    machine,
    root: machineRoot(stack, machine),
    unit,
    configHash: configHash(unit, [...files, ...secretFiles], sha256, revision),
  };
}

/** Releases the node's lease, so that its subnet is free at once instead of in a day. A failure does not prevent the removal. */
async function decommission({ stack, machine, unit }: NodeInputs): Promise<void> {
  const netns = netnsPath(stack, machine);
  if (unit.decommission === undefined || !netnsExists(netns) || !existsSync(unit.decommission[0]!)) return;
  const { code, stderr } = await runCommand(unit.decommission, {
    netns,
    environment: Object.assign({}, ...unit.environmentFiles.map(readEnvironment)),
    timeoutMs: RELEASE_MS,
  });
  if (code === 0) return;
  const why = stderr.trim().split('\n').at(-1) || 'no answer';
  process.stderr.write(`${machine} could not give its lease back, it ends within a day: ${why}\n`);
}

/**
 * Whether the pods' bridge was made by an earlier life of the node: it keeps the address of that life's subnet, and the
 * plugin refuses to use it. By what is there and not by the state, which a command that was cut off may have left behind.
 */
function bridgeProblem({ stack, machine }: Pick<NodeInputs, 'stack' | 'machine'>): string | undefined {
  const { podSubnet } = podNetworkOf({ stack, machine });
  return withNetlink({ netns: netnsPath(stack, machine) }, (nl) => {
    const bridge = getLink(nl, DEFAULT_BRIDGE);
    if (bridge === undefined) return undefined;
    const subnets = listAddresses(nl, { index: bridge.index, family: 4 }).map(({ address }) =>
      formatPrefix(interfacePrefix(address)),
    );
    const foreign = subnets.find((subnet) => subnet !== podSubnet);
    return foreign && `${DEFAULT_BRIDGE} on ${machine} is of subnet ${foreign}, the node has ${podSubnet}`;
  });
}

/** The pods, which depend on the node's subnet, are then recreated. */
function removePodBridge({ stack, machine }: Pick<NodeInputs, 'stack' | 'machine'>): void {
  const netns = netnsPath(stack, machine);
  if (netnsExists(netns)) withNetlink({ netns }, (nl) => ensureLinkAbsent(nl, DEFAULT_BRIDGE));
}

/** flanneld writes its subnet with the bridge's address, 10.244.3.1/24; the subnet is 10.244.3.0/24. */
function podNetworkOf({ stack, machine }: Pick<NodeInputs, 'stack' | 'machine'>): NodeOutputs {
  const { FLANNEL_SUBNET: subnet, FLANNEL_MTU: mtu } = readEnvironment(subnetFile(machineRoot(stack, machine)));
  return {
    podSubnet: subnet === undefined ? '' : formatPrefix(interfacePrefix(parseInterfaceAddress(subnet))),
    podMtu: Number(mtu ?? 0),
  };
}

function readEnvironment(path: string): Record<string, string> {
  return existsSync(path) ? parseEnvironment(readFileSync(path, 'utf8')) : {};
}
