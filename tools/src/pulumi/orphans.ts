/**
 * What a killed Pulumi leaves running. Its language host and its providers do not notice that it is gone: a provider even
 * finishes what it is at, and would make namespaces while another command removes them.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { say } from '../../setup/progress.mjs';

/** In the environment of every Pulumi that changes a stack, and so of all that it starts. */
export const MARK = 'FLANNEL_TS_UPDATE';

const GRACE_MS = 3_000;
const POLL_MS = 50;

/** Ends them; not while a Pulumi with this mark still lives. */
export async function endOrphans(mark: string): Promise<void> {
  const orphans = marked(mark);
  if (orphans.length === 0 || orphans.some((pid) => commandName(pid) === 'pulumi')) return;
  say(`Ending ${orphans.length} processes that a killed Pulumi has left`);
  await end(orphans, mark);
}

async function end(pids: readonly number[], mark: string): Promise<void> {
  const deadline = Date.now() + GRACE_MS;
  for (const pid of pids) signal(pid, 'SIGTERM');
  for (let left = marked(mark); left.length > 0; left = marked(mark)) {
    if (Date.now() > deadline) for (const pid of left) signal(pid, 'SIGKILL');
    await sleep(POLL_MS);
  }
}

function marked(mark: string): number[] {
  const entry = `${MARK}=${mark}`;
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && readProc(name, 'environ').split('\0').includes(entry))
    .map(Number);
}

function commandName(pid: number): string {
  return readProc(String(pid), 'comm').trim();
}

/** Empty for a process that has gone, or is a zombie. */
function readProc(pid: string, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return '';
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It has ended meanwhile.
  }
}
