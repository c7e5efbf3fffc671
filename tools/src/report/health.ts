/** The state of a node's flanneld, by the status file of its supervisor. */
import type { Status } from '@flannel-ts/infra/local/supervisor/descriptor';

export function formatHealth(status: Status | undefined, running: (pid: number) => boolean): string {
  if (status === undefined) return 'missing';
  if (!running(status.supervisor.pid)) return 'stopped (supervisor died): npm run up restarts it';
  const state = status.pid === undefined ? 'down' : status.ready ? 'ready' : 'not ready';
  return status.restarts === 0 ? state : `${state}, ${status.restarts} restart${status.restarts === 1 ? '' : 's'}`;
}

export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
