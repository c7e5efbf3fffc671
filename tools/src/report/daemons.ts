/** What the flanneld of each node of a local stack says: its supervisor's state, and what answers at its socket. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Status } from '@flannel-ts/daemon/operate/status';
import { look, STATUS_EXITS } from '@flannel-ts/daemon/operate/status-command';
import { machineRoot } from '@flannel-ts/infra/local/names';
import { readStatus } from '@flannel-ts/infra/local/supervisor/descriptor';
import { subnetFile } from '@flannel-ts/infra/node/files';
import { formatHealth, isRunning } from './health.ts';

export interface NodeState {
  /** `ready`, `not ready, 2 restarts`, `missing`. */
  readonly health: string;
  readonly status?: Status;
  /** Why there is no status. */
  readonly problem?: string;
}

export type NodeStates = ReadonlyMap<string, NodeState>;

/** Of the nodes that are on this machine; those of a cloud are left out. */
export async function askNodes(stack: string, nodes: readonly string[]): Promise<NodeStates> {
  const here = nodes.filter((node) => existsSync(machineRoot(stack, node)));
  return new Map(await Promise.all(here.map(async (node) => [node, await askNode(stack, node)] as const)));
}

export async function askNode(stack: string, node: string): Promise<NodeState> {
  const root = machineRoot(stack, node);
  const found = await look({ subnetFile: subnetFile(root), isChosen: true });
  const supervised = readStatus(join(root, 'run', 'flanneld.status.json'));
  if (found.kind === 'status') {
    const { ready } = found.status;
    // In a pod it has no supervisor of ours; where it has one, that may have looked a moment ago.
    const health = supervised ? formatHealth({ ...supervised, ready }, isRunning) : ready ? 'ready' : 'not ready';
    return { health, status: found.status };
  }
  const problem = found.exit === STATUS_EXITS.noDaemon ? 'no flanneld runs here' : found.sentence;
  return { health: formatHealth(supervised, isRunning), problem };
}
