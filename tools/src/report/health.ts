/** The state of a node's flanneld, by the status file of its supervisor. */
import { join } from 'node:path';
import { machineRoot } from '@flannel-ts/infra/local/names';
import { readStatus, type Status } from '@flannel-ts/infra/local/supervisor/descriptor';

export function nodeHealth(stack: string, node: string): string {
  return formatHealth(readStatus(join(machineRoot(stack, node), 'run', 'flanneld.status.json')), isRunning);
}

export function formatHealth(status: Status | undefined, running: (pid: number) => boolean): string {
  if (status === undefined) return 'missing';
  if (!running(status.supervisor.pid)) return 'stopped (supervisor died): npm run up restarts it';
  const state = status.pid === undefined ? 'down' : status.ready ? 'ready' : 'not ready';
  return status.restarts === 0 ? state : `${state}, ${status.restarts} restart${status.restarts === 1 ? '' : 's'}`;
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
