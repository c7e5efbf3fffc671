/** Starting, watching and stopping the one supervised service of a machine. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { sameNetns } from '@flannel-ts/linux/netns';
import { InfraError } from '../../errors.ts';
import type { BootFile, Unit } from '../../node/files.ts';
import { netnsPath, stackDirectory } from '../names.ts';
import { type Descriptor, readStatus, restartsSince, type Status } from '../supervisor/descriptor.ts';
import { cleanEnvironment, inNetns } from './command.ts';
import { writeWhole } from './files.ts';
import { assertNotInterrupted } from './interrupt.ts';
import {
  commandLine,
  endProcesses,
  isAlive,
  isStopped,
  killProcesses,
  type ProcessName,
  processesIn,
  processesWithLastArgument,
} from './processes.ts';

export interface ServiceSpec {
  readonly stack: string;
  readonly machine: string;
  readonly root: string;
  readonly unit: Unit;
  /** All that the service runs with: another hash means a restart. */
  readonly configHash: string;
}

const READY_POLL_MS = 50;
/** So many lives in a row that ended at once are enough to say that it will not come up. */
const HOPELESS_RESTARTS = 3;
const LOG_LINES = 12;
/** A process has no command line for a moment while it executes another program. */
const SUPERVISOR_GONE_MS = 1_000;

/** A hash over what the service depends on. File contents may be secret; their hash is not. */
export function configHash(unit: Unit, files: readonly BootFile[], ...more: readonly string[]): string {
  const hash = createHash('sha256').update(JSON.stringify([unit, more]));
  for (const file of files) hash.update(`\0${file.path}\0${file.content}`);
  return hash.digest('hex');
}

/**
 * Lets the service run with this configuration: nothing happens if it does already, a service without its supervisor gets
 * a new one without being interrupted, and any other is replaced: by one that takes over from it, or ended and started.
 */
export async function ensureRunning(spec: ServiceSpec): Promise<'started' | 'ran'> {
  const descriptor = describe(spec);
  const path = descriptorPath(spec);
  const status = readStatus(descriptor.statusFile);
  const supervisors = supervisorsOf(spec, status);
  const isAsWanted = status?.configHash === spec.configHash && status.refused === undefined;
  if (supervisors.length === 1 && isAsWanted && inOwnNetwork(spec, supervisors[0]!)) return 'ran';
  // One that is killed leaves its service to the next one.
  if (keptService(spec, status) !== undefined) await killProcesses(supervisors);
  else await endProcesses(supervisors, endMs(spec));
  for (const directory of [...spec.unit.directories, join(spec.root, 'run')]) mkdirSync(directory, { recursive: true });
  await endStray(spec, status);
  writeWhole(path, `${JSON.stringify(descriptor, undefined, 2)}\n`, 0o644);
  startSupervisor(spec, path);
  return 'started';
}

/** Ends the supervisor and its service. */
export async function stopRunning(spec: Pick<ServiceSpec, 'root' | 'unit'>): Promise<void> {
  const status = readStatus(statusPath(spec));
  await endProcesses(supervisorsOf(spec, status), endMs(spec));
  const service = serviceOf(status);
  if (service) await endProcesses([service], spec.unit.stopSeconds * 1000);
}

/** What is wrong with the running service; undefined if nothing is. */
export function serviceProblem(spec: Pick<ServiceSpec, 'stack' | 'machine' | 'root' | 'unit'>): string | undefined {
  const { name } = spec.unit;
  const status = readStatus(statusPath(spec));
  const [supervisor] = supervisorsOf(spec, status);
  if (supervisor === undefined) return `${name} on ${spec.machine} has no supervisor`;
  if (!inOwnNetwork(spec, supervisor)) return `${name} on ${spec.machine} runs outside the machine's network`;
  if (serviceOf(status) === undefined) return `${name} on ${spec.machine} is not running`;
  return status?.ready ? undefined : `${name} on ${spec.machine} is not ready`;
}

/** Waits until the service is `ready`, or at least answers. The error is about what happened after `since`. */
export async function waitForService(
  spec: ServiceSpec,
  until: 'ready' | 'answering',
  timeoutMs: number,
  since: Mark,
): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  const notReady = (why: string) => notReadyError(spec, why, since);
  for (let lastSeen = Date.now(); ; ) {
    const status = readStatus(statusPath(spec));
    // The file may still be a dead supervisor's.
    const current = status?.configHash === spec.configHash && isAlive(status.supervisor) ? status : undefined;
    if (current?.[until]) return;
    const refused = status?.refused;
    if (refused?.configHash === spec.configHash && isAlive(status!.supervisor)) {
      throw notReady(`${refused.why}, and the one before goes on`);
    }
    const ends = current ? restartsSince(current, since.status) : 0;
    if (ends >= HOPELESS_RESTARTS) throw notReady(exitText(ends, current!));
    assertNotInterrupted(`${spec.unit.name} on ${spec.machine}`);
    if (supervisorsOf(spec, status).length > 0) lastSeen = Date.now();
    if (Date.now() - lastSeen > SUPERVISOR_GONE_MS) throw notReady('its supervisor ended');
    if (Date.now() > deadline) {
      throw notReady(`it is not ${until} after ${Math.round(timeoutMs / 1000)} s${stoppedText(serviceOf(status))}`);
    }
    await sleep(READY_POLL_MS);
  }
}

function notReadyError(spec: ServiceSpec, why: string, since: Mark): InfraError {
  const lines = logFiles(spec).flatMap((path, i) => lastLines(path, since.logs[i] ?? 0));
  const log = lines.length === 0 ? 'Its log is empty' : `The last lines of ${spec.unit.log}:\n  ${lines.join('\n  ')}`;
  return new InfraError('NOT_READY', `${spec.unit.name} on ${spec.machine} does not come up: ${why}. ${log}`);
}

/** How far it had come: what is before has nothing to do with what is started now. */
export interface Mark {
  /** Sizes of the logs. */
  readonly logs: readonly number[];
  readonly status: Status | undefined;
}

export function mark(spec: Pick<ServiceSpec, 'root' | 'unit'>): Mark {
  const logs = logFiles(spec).map((path) => statSync(path, { throwIfNoEntry: false })?.size ?? 0);
  return { logs, status: readStatus(statusPath(spec)) };
}

function logFiles(spec: Pick<ServiceSpec, 'root' | 'unit'>): string[] {
  return [spec.unit.log, supervisorLog(spec)];
}

function stoppedText(service: ProcessName | undefined): string {
  if (service === undefined || !isStopped(service)) return '';
  return `: somebody has stopped process ${service.pid}, "kill -CONT ${service.pid}" lets it go on`;
}

function exitText(ends: number, { lastExit }: Status): string {
  const how = lastExit?.signal ? `by ${lastExit.signal}` : `with exit code ${lastExit?.code ?? 'unknown'}`;
  return `it ended ${ends} times, the last time ${how}`;
}

/** A log that is shorter than the mark was rotated since. */
function lastLines(path: string, since: number): string[] {
  if (!existsSync(path)) return [];
  const log = readFileSync(path);
  const text = log.subarray(since < log.length ? since : 0).toString('utf8');
  const lines = since === log.length ? [] : text.split('\n').filter((line) => line !== '');
  return lines.slice(-LOG_LINES);
}

/** The supervisor lives in the machine's network and in a session of its own: it stays when this command has ended. */
function startSupervisor(spec: ServiceSpec, descriptor: string): void {
  const [program, ...args] = inNetns(netnsPath(spec.stack, spec.machine), [
    process.execPath,
    installSupervisor(spec.stack),
    descriptor,
  ]);
  const log = openSync(supervisorLog(spec), 'a', 0o640);
  try {
    const child = spawn(program!, args, {
      cwd: spec.root,
      env: cleanEnvironment(),
      detached: true,
      stdio: ['ignore', log, log],
    });
    child.on('error', () => {}); // told by waitForService: there is no supervisor
    child.unref();
  } finally {
    closeSync(log);
  }
}

/** A copy for the stack: the checkout may be rebuilt or go away while the machines run. */
function installSupervisor(stack: string): string {
  const built = join(__dirname, 'supervisor.cjs');
  if (!existsSync(built)) {
    throw new InfraError('BUILD_MISSING', `Cannot find ${built}: run "npm run build"`);
  }
  const program = readFileSync(built);
  const hash = createHash('sha256').update(program).digest('hex').slice(0, 16);
  const path = join(stackDirectory(stack), 'supervisor', `${hash}.cjs`);
  if (!existsSync(path)) writeWhole(path, program.toString('utf8'), 0o644);
  return path;
}

/** What the next supervisor takes over: with this configuration, or one that can be taken over from, and in this network. */
function keptService(spec: ServiceSpec, status: Status | undefined): ProcessName | undefined {
  const service = serviceOf(status);
  if (service === undefined || !inOwnNetwork(spec, service)) return undefined;
  return status?.configHash === spec.configHash || spec.unit.handOver !== undefined ? service : undefined;
}

/** Ends processes of the service that a supervisor left behind, but for the one the next supervisor will take over. */
async function endStray(spec: ServiceSpec, status: Status | undefined): Promise<void> {
  const service = serviceOf(status);
  const kept = keptService(spec, status);
  const program = spec.unit.command[0]!;
  const strays = processesIn(netnsPath(spec.stack, spec.machine)).filter(
    ({ pid }) => pid !== kept?.pid && commandLine(pid).slice(0, 2).includes(program), // the second one under an interpreter
  );
  if (service && !kept) strays.push(service);
  await endProcesses(strays, spec.unit.stopSeconds * 1000);
}

/** By its command line and by what it wrote itself: either alone can be missing for a moment. */
function supervisorsOf(spec: Pick<ServiceSpec, 'root' | 'unit'>, status: Status | undefined): ProcessName[] {
  const found = processesWithLastArgument(descriptorPath(spec));
  const known = status?.supervisor;
  return known && isAlive(known) && found.every(({ pid }) => pid !== known.pid) ? [...found, known] : found;
}

function serviceOf(status: Status | undefined): ProcessName | undefined {
  if (status?.pid === undefined || status.startTime === undefined) return undefined;
  const service = { pid: status.pid, startTime: status.startTime };
  return isAlive(service) ? service : undefined;
}

function inOwnNetwork({ stack, machine }: Pick<ServiceSpec, 'stack' | 'machine'>, { pid }: ProcessName): boolean {
  try {
    return sameNetns(`/proc/${pid}/ns/net`, netnsPath(stack, machine));
  } catch {
    return false; // one of them has gone
  }
}

function describe(spec: ServiceSpec): Descriptor {
  const { unit } = spec;
  return {
    name: unit.name,
    command: unit.command,
    directory: spec.root,
    environment: cleanEnvironment({ HOME: spec.root }),
    environmentFiles: unit.environmentFiles,
    log: { path: unit.log, maxBytes: 10 * 1024 * 1024, keep: 3 },
    readyUrl: unit.readyUrl,
    statusFile: statusPath(spec),
    configHash: spec.configHash,
    ...(unit.handOver && { handOver: unit.handOver }),
    stopMs: unit.stopSeconds * 1000,
    backoff: { firstMs: 500, maxMs: 30_000, resetMs: 60_000 },
  };
}

/** The supervisor itself waits as long as its service is given, and needs a moment to leave. */
function endMs({ unit }: Pick<ServiceSpec, 'unit'>): number {
  return unit.stopSeconds * 1000 + 3_000;
}

function descriptorPath({ root, unit }: Pick<ServiceSpec, 'root' | 'unit'>): string {
  return join(root, 'run', `${unit.name}.json`);
}

function statusPath({ root, unit }: Pick<ServiceSpec, 'root' | 'unit'>): string {
  return join(root, 'run', `${unit.name}.status.json`);
}

function supervisorLog({ root, unit }: Pick<ServiceSpec, 'root' | 'unit'>): string {
  return join(root, 'var/log', `${unit.name}.supervisor.log`);
}
