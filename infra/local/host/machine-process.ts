/** The process 1 of a machine that has mounts and processes of its own, as this host sees it. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { sameNetns } from '@flannel-ts/linux/netns';
import { InfraError } from '../../errors.ts';
import { controlGroup, machineRoot, netnsPath, stackDirectory } from '../names.ts';
import { type CommandOptions, type CommandResult, cleanEnvironment, runCommand } from './command.ts';
import { ensureControlGroup, removeControlGroup } from './control-groups.ts';
import { writeWhole } from './files.ts';
import { endProcesses, isAlive, nameProcess, type ProcessName } from './processes.ts';

export interface MachineName {
  readonly stack: string;
  readonly machine: string;
}

/** Kept beside the machine, to find it again. */
interface Record extends ProcessName {
  /** Of the script that made it: another one makes another machine. */
  readonly boot: string;
}

const START_MS = 10_000;
/** Its units are ended in order, each in its time. */
const END_MS = 40_000;

/** Directory of its units' descriptors. */
export function unitsDirectory({ stack, machine }: MachineName): string {
  return join(machineRoot(stack, machine), 'run/units');
}

/** Starts it if it is not there, or is of another kind than this version makes. Tells it that its units have changed. */
export async function ensureMachineRuns(name: MachineName): Promise<void> {
  const boot = installProgram(name.stack, 'boot.sh');
  const current = machineProcess(name);
  if (current !== undefined && current.boot === boot && inOwnNetwork(name, current)) {
    process.kill(current.pid, 'SIGHUP');
    return;
  }
  await endMachine(name);
  await startMachine(name, boot);
}

/** Undefined if it does not run. */
export function machineProcess(name: MachineName): Record | undefined {
  try {
    const record = JSON.parse(readFileSync(recordFile(name), 'utf8')) as Record;
    return isAlive(record) ? record : undefined;
  } catch {
    return undefined;
  }
}

/** With all that it runs, mounts and the control groups of its pods included. Its units have `graceMs` to end by themselves. */
export async function endMachine(name: MachineName, graceMs = END_MS): Promise<void> {
  const current = machineProcess(name);
  if (current !== undefined) await endProcesses([current], graceMs);
  rmSync(recordFile(name), { force: true });
  await removeControlGroup(controlGroup(name.stack, name.machine));
}

/** Runs a command inside. */
export function runInMachine(
  name: MachineName,
  command: readonly string[],
  options: Omit<CommandOptions, 'netns'> = {},
): Promise<CommandResult> {
  const current = machineProcess(name);
  if (current === undefined) throw new InfraError('NOT_READY', `${name.machine} does not run`);
  return runCommand(enterMachine(current.pid, command), options);
}

/** The argument vector that runs it there. */
export function enterMachine(pid: number, command: readonly string[]): string[] {
  return ['nsenter', `--target=${pid}`, '--net', '--mount', '--pid', '--uts', '--ipc', '--', ...command];
}

async function startMachine(name: MachineName, boot: string): Promise<void> {
  const { stack, machine } = name;
  ensureControlGroup(controlGroup(stack, machine));
  const state = machineRoot(stack, machine);
  mkdirSync(join(state, 'var/log'), { recursive: true });
  const keeper = [process.execPath, installProgram(stack, 'machine.cjs'), unitsDirectory(name)];
  const log = openSync(join(state, 'var/log/machine.log'), 'a', 0o640);
  try {
    const args = [boot, netnsPath(stack, machine), machine, state, stackDirectory(stack), ...keeper];
    const child = spawn('sh', args, { env: cleanEnvironment(), detached: true, stdio: ['ignore', log, log] });
    child.on('error', () => {}); // told below
    child.unref();
    const first = child.pid === undefined ? undefined : await firstChild(child.pid);
    if (first === undefined) {
      const said = readFileSync(join(state, 'var/log/machine.log'), 'utf8').trim().split('\n').slice(-5).join('\n  ');
      throw new InfraError('NOT_READY', `${machine} does not start:\n  ${said}`);
    }
    writeWhole(recordFile(name), JSON.stringify({ ...first, boot }), 0o644);
  } finally {
    closeSync(log);
  }
}

/** The child of unshare(1), which the starter becomes. */
async function firstChild(parent: number): Promise<ProcessName | undefined> {
  const deadline = Date.now() + START_MS;
  while (Date.now() < deadline) {
    try {
      const [pid] = readFileSync(`/proc/${parent}/task/${parent}/children`, 'utf8').trim().split(' ');
      const found = pid ? nameProcess(Number(pid)) : undefined;
      if (found !== undefined) return found;
    } catch {
      return undefined; // it has ended
    }
    await sleep(10);
  }
  return undefined;
}

/** A copy for the stack: the checkout may be rebuilt or go away while the machines run. */
export function installProgram(stack: string, file: string): string {
  const built = join(__dirname, file);
  if (!existsSync(built)) throw new InfraError('BUILD_MISSING', `Cannot find ${built}: run "npm run build"`);
  const content = readFileSync(built, 'utf8');
  const hash = createHash('sha256').update(content).digest('hex').slice(0, 16);
  const path = join(stackDirectory(stack), 'supervisor', `${hash}.${file}`);
  if (!existsSync(path)) writeWhole(path, content, 0o644);
  return path;
}

function inOwnNetwork({ stack, machine }: MachineName, { pid }: ProcessName): boolean {
  try {
    return sameNetns(`/proc/${pid}/ns/net`, netnsPath(stack, machine));
  } catch {
    return false; // one of them has gone
  }
}

function recordFile({ stack, machine }: MachineName): string {
  return join(machineRoot(stack, machine), 'run/machine.json');
}
