/** Which processes there are, told apart by pid and start time: a pid alone may be another's by now. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { isProcessAlive, processStartTime } from '@flannel-ts/linux/process';
import { InfraError } from '../../errors.ts';

export interface ProcessName {
  readonly pid: number;
  readonly startTime: string;
}

/** The process with this pid, if there is one. */
export function nameProcess(pid: number): ProcessName | undefined {
  const startTime = processStartTime(pid);
  return startTime === undefined ? undefined : { pid, startTime };
}

/** Every process in the network namespace at `netns`. */
export function processesIn(netns: string): ProcessName[] {
  const wanted = inodeOf(netns);
  if (wanted === undefined) return [];
  return allProcesses((pid) => inodeOf(`/proc/${pid}/ns/net`) === wanted);
}

/** Every process whose last argument is `argument`. */
export function processesWithLastArgument(argument: string): ProcessName[] {
  return allProcesses((pid) => commandLine(pid).at(-1) === argument);
}

export function commandLine(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1);
  } catch {
    return []; // gone, or not ours to read
  }
}

export function isAlive(process: ProcessName): boolean {
  return isProcessAlive(process.pid, process.startTime);
}

/** Whether it was told to stop, and not yet to go on: it is there, and does nothing. proc(5): field 3 of stat. */
export function isStopped({ pid }: ProcessName): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat[stat.lastIndexOf(')') + 2] === 'T';
  } catch {
    return false; // gone
  }
}

/** SIGTERM, and SIGKILL for those that are still there after `graceMs`. */
export async function endProcesses(processes: readonly ProcessName[], graceMs: number): Promise<void> {
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    for (const process of processes) sendSignal(process, signal);
    if (await allGone(processes, signal === 'SIGTERM' ? graceMs : 5_000)) return;
  }
  const left = processes.filter(isAlive).map(({ pid }) => pid);
  throw new InfraError('STILL_RUNNING', `Cannot end process ${left.join(', ')}: it is there even after SIGKILL`);
}

/** At once, without a chance to end what they have started. */
export async function killProcesses(processes: readonly ProcessName[]): Promise<void> {
  for (const process of processes) sendSignal(process, 'SIGKILL');
  await allGone(processes, 5_000);
}

function sendSignal(target: ProcessName, signal: NodeJS.Signals): void {
  if (!isAlive(target)) return;
  try {
    process.kill(target.pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

async function allGone(processes: readonly ProcessName[], timeoutMs: number): Promise<boolean> {
  const deadline = Date.now() + timeoutMs;
  for (let pause = 5; processes.some(isAlive); pause = Math.min(pause * 2, 100)) {
    if (Date.now() > deadline) return false;
    await sleep(pause);
  }
  return true;
}

export function allProcesses(accept: (pid: number) => boolean): ProcessName[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => pid !== process.pid && accept(pid))
    .map(nameProcess)
    .filter((found) => found !== undefined);
}

/** nsfs gives every namespace an inode of its own. */
function inodeOf(path: string): bigint | undefined {
  try {
    return statSync(path, { bigint: true }).ino;
  } catch {
    return undefined;
  }
}
