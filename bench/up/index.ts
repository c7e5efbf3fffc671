/** How long a stack takes: made, looked at again, removed; and one flanneld from its start to its first answer. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Result, summarize } from '../result.ts';

export const name = 'up';

const RUNS = 3;
const RESTARTS = 5;
const STACK = `bench-${process.pid}`;
const STACK_FLAGS = ['--', '--stack', STACK];
const STATUS_FILE = `/var/lib/flannel-local/${STACK}/nodes/node-0/run/flanneld.status.json`;
const READY_WITHIN_MS = 30_000;

export async function run(): Promise<Result[]> {
  const up: number[] = [];
  const again: number[] = [];
  const down: number[] = [];
  const ready: number[] = [];
  try {
    for (let i = 0; i < RUNS; i++) {
      up.push(timed('up', '--nodes', '3', '--pods', '2'));
      again.push(timed('up'));
      if (i === 0) for (let j = 0; j < RESTARTS; j++) ready.push(await restart());
      down.push(timed('down'));
    }
  } finally {
    spawnSync('npm', ['run', '-s', 'down', ...STACK_FLAGS], { stdio: 'ignore' });
  }
  return [
    summarize('up, 3 nodes and 6 pods, with the reachability check', 's', up),
    summarize('up again, nothing to change', 's', again),
    summarize('down, 3 nodes and 6 pods', 's', down),
    summarize('flanneld from start to ready', 'ms', ready),
  ];
}

/** Seconds. */
function timed(command: string, ...args: string[]): number {
  const start = performance.now();
  const { status, stdout, stderr } = spawnSync('npm', ['run', '-s', command, ...STACK_FLAGS, ...args], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`"npm run ${command}" of ${STACK} ended with ${status}:\n${stdout}${stderr}`);
  return (performance.now() - start) / 1000;
}

interface Status {
  readonly pid?: number;
  readonly ready: boolean;
}

/**
 * Milliseconds from the start of a new flanneld, which its supervisor makes in the place of the one that is ended here, to
 * readiness: the process's own start as the kernel knows it, to 10 ms.
 */
async function restart(): Promise<number> {
  const { pid: old } = readStatus();
  if (old === undefined) throw new Error(`flanneld of ${STACK} does not run`);
  process.kill(old, 'SIGTERM');
  const deadline = Date.now() + READY_WITHIN_MS;
  for (;;) {
    const { pid, ready } = readStatus();
    if (ready && pid !== undefined && pid !== old) return Date.now() - startedAt(pid);
    if (Date.now() > deadline)
      throw new Error(`flanneld of ${STACK} is not ready ${READY_WITHIN_MS / 1000} s after its end`);
    await sleep(2);
  }
}

function readStatus(): Status {
  return existsSync(STATUS_FILE) ? (JSON.parse(readFileSync(STATUS_FILE, 'utf8')) as Status) : { ready: false };
}

/** proc(5): field 22 of stat, in ticks of 10 ms since boot; both clocks are read at once. */
function startedAt(pid: number): number {
  const stat = readFileSync(join('/proc', String(pid), 'stat'), 'utf8');
  const ticks = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]);
  const uptimeMs = Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]) * 1000;
  return Date.now() - (uptimeMs - ticks * 10);
}
