/** A port of this machine that leads into a stack. */
import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseIp } from '@flannel-ts/inet/ip';
import type { Ipv4 } from '@flannel-ts/inet/ipv4';
import { isErrno } from '@flannel-ts/linux/errors';
import { closeFd, type Fd } from '@flannel-ts/linux/files';
import { netnsExists, sameNetns } from '@flannel-ts/linux/netns';
import {
  AF_INET,
  bind,
  getSockName,
  listen,
  SO_REUSEADDR,
  SOCK_DGRAM,
  SOCK_STREAM,
  SOL_SOCKET,
  setSocketOption,
  sockaddrIn,
  sockaddrInPort,
  socket,
} from '@flannel-ts/linux/socket';
import { InfraError } from '../../errors.ts';
import { netnsPath, stackDirectory } from '../names.ts';
import type { PublishPlan } from '../publish/plan.ts';
import { cleanEnvironment, inNetns } from './command.ts';
import { pruneEmpty, writeWhole } from './files.ts';
import { installProgram } from './machine-process.ts';
import { endProcesses, isAlive, nameProcess, type ProcessName } from './processes.ts';
import { handler } from './resource.ts';

export interface PublishedInputs {
  readonly stack: string;
  readonly name: string;
  /** In whose network the connections begin. */
  readonly machine: string;
  /** The id of that machine. */
  readonly host: string;
  readonly address: string;
  /** 0: a free one, which it then keeps. */
  readonly port: number;
  readonly plan: PublishPlan;
}

export interface PublishedOutputs {
  /** Which it is. */
  readonly listensOn: number;
}

type Name = Pick<PublishedInputs, 'stack' | 'name'>;

interface Record extends ProcessName {
  /** What it was started with. */
  readonly listens: string;
}

const GRACE_MS = 2_000;
const START_MS = 10_000;

export const published = handler<PublishedInputs, PublishedOutputs>({
  id: ({ stack, name }) => `${stack}/published/${name}`,
  identity: ['stack', 'name'],
  async ensure(inputs, old) {
    writeWhole(planFile(inputs), `${JSON.stringify(inputs.plan, undefined, 2)}\n`, 0o644);
    const program = installProgram(inputs.stack, 'publish.cjs');
    const kept = inputs.port === 0 && old?.address === inputs.address ? old.listensOn : undefined;
    const port = kept ?? inputs.port;
    if (running(inputs)?.listens === listens(inputs, program, port)) return { listensOn: port };
    await end(inputs);
    const opened = open(inputs, kept);
    try {
      await start(inputs, program, opened);
    } finally {
      closeFd(opened.fd);
    }
    return { listensOn: opened.port };
  },
  // Present as long as the stack has it, since only so it keeps its port.
  async observe(props) {
    const problem = running(props) === undefined ? `Port ${props.listensOn} of ${props.address} is not published` : '';
    return { present: true, ...(problem && { drift: problem }) };
  },
  async remove(props) {
    await end(props);
    for (const file of [planFile(props), recordFile(props), logFile(props)]) rmSync(file, { force: true });
    pruneEmpty(dirname(planFile(props)));
  },
});

interface Opened {
  readonly fd: Fd;
  readonly port: number;
}

/** The one asked for, or the one it had if that is still free, or any. */
function open(inputs: PublishedInputs, kept: number | undefined): Opened {
  const { address, port } = inputs;
  try {
    return openPort(inputs, port === 0 ? (kept ?? 0) : port);
  } catch (error) {
    if (!isErrno(error, 'EADDRINUSE', 'EACCES', 'EADDRNOTAVAIL')) throw error;
    if (port === 0 && isErrno(error, 'EADDRINUSE')) return openPort(inputs, 0);
    const why = isErrno(error, 'EADDRINUSE') ? 'another program has it' : 'this machine has no such address';
    throw new InfraError('PORT_TAKEN', `Port ${port} of ${address} cannot be published: ${why}; publish another`);
  }
}

function openPort({ address, plan }: PublishedInputs, port: number): Opened {
  const stream = plan.protocol === 'tcp';
  const fd = socket(AF_INET, stream ? SOCK_STREAM : SOCK_DGRAM);
  try {
    // Connections of the one before, which the kernel remembers for a minute, are no obstacle.
    if (stream) setSocketOption(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    bind(fd, sockaddrIn(parseIp(address, 4) as Ipv4, port));
    if (stream) listen(fd);
    return { fd, port: sockaddrInPort(getSockName(fd)) };
  } catch (error) {
    closeFd(fd);
    throw error;
  }
}

async function start(inputs: PublishedInputs, program: string, { fd, port }: Opened): Promise<void> {
  const netns = netnsPath(inputs.stack, inputs.machine);
  mkdirSync(dirname(logFile(inputs)), { recursive: true });
  const log = openSync(logFile(inputs), 'a', 0o640);
  try {
    const [command, ...args] = inNetns(netns, [process.execPath, program, planFile(inputs)]);
    const child = spawn(command!, args, {
      env: cleanEnvironment(),
      detached: true,
      stdio: ['ignore', log, log, fd],
    });
    child.on('error', () => {}); // told below
    child.unref();
    const name = child.pid === undefined ? undefined : nameProcess(child.pid);
    if (name === undefined || !(await entered(name, netns))) {
      throw new InfraError(
        'NOT_READY',
        `Port ${port} is not published: ${readFileSync(logFile(inputs), 'utf8').trim()}`,
      );
    }
    const record: Record = { ...name, listens: listens(inputs, program, port) };
    writeWhole(recordFile(inputs), JSON.stringify(record), 0o644);
  } finally {
    closeSync(log);
  }
}

/** nsenter has become the program. */
async function entered(child: ProcessName, netns: string): Promise<boolean> {
  const deadline = Date.now() + START_MS;
  while (isAlive(child) && Date.now() < deadline) {
    if (isIn(child, netns)) return true;
    await sleep(10);
  }
  return false;
}

async function end(of: Name): Promise<void> {
  const current = recorded(of);
  if (current !== undefined) await endProcesses([current], GRACE_MS);
}

/** Undefined if it does not run, or not where it should. */
function running(props: Name & Pick<PublishedInputs, 'machine'>): Record | undefined {
  const current = recorded(props);
  return current !== undefined && isIn(current, netnsPath(props.stack, props.machine)) ? current : undefined;
}

function recorded(of: Name): Record | undefined {
  try {
    const record = JSON.parse(readFileSync(recordFile(of), 'utf8')) as Record;
    return isAlive(record) ? record : undefined;
  } catch {
    return undefined;
  }
}

function isIn({ pid }: ProcessName, netns: string): boolean {
  try {
    return netnsExists(netns) && sameNetns(`/proc/${pid}/ns/net`, netns);
  } catch {
    return false; // one of them has gone
  }
}

function listens({ address, plan, machine }: PublishedInputs, program: string, port: number): string {
  return `${plan.protocol} ${address}:${port} by ${machine} with ${program}`;
}

/** Where a stack keeps what it publishes. */
function pathOf({ stack, name }: Name, suffix: string): string {
  return join(stackDirectory(stack), 'published', `${name}.${suffix}`);
}
const planFile = (of: Name) => pathOf(of, 'json');
const recordFile = (of: Name) => pathOf(of, 'process.json');
const logFile = (of: Name) => pathOf(of, 'log');
