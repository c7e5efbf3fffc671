/** The supervised process: started, or taken over from a supervisor that died. */
import { spawn } from 'node:child_process';
import { closeSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { isProcessAlive, processStartTime } from '@flannel-ts/linux/process';
import { type Descriptor, type ProcessIdentity, parseEnvironment } from './descriptor.ts';
import { openLog } from './log.ts';

export interface Exit {
  readonly code?: number;
  readonly signal?: string;
}

export interface Service {
  readonly identity: ProcessIdentity;
  readonly exited: Promise<Exit>;
}

const ADOPTED_POLL_MS = 250;

/** Starts the service as a session of its own: a signal to the supervisor's group must not reach it twice. */
export function startService(descriptor: Descriptor, more: readonly string[] = []): Service | Promise<Exit> {
  const [program, ...args] = [...descriptor.command, ...more];
  const log = openLog(descriptor.log);
  try {
    const child = spawn(program!, args, {
      cwd: descriptor.directory,
      env: { ...descriptor.environment, ...environmentOf(descriptor.environmentFiles) },
      detached: true,
      stdio: ['ignore', log, log],
    });
    const exited = new Promise<Exit>((resolve) => {
      child.once('error', (error) => {
        process.stderr.write(`Cannot start ${program}: ${error.message}\n`);
        resolve({ code: 127 });
      });
      child.once('exit', (code, signal) => resolve({ ...(code !== null && { code }), ...(signal && { signal }) }));
    });
    const { pid } = child;
    // A process that has ended already has no start time; its exit is on its way.
    const startTime = pid === undefined ? undefined : processStartTime(pid);
    return pid === undefined || startTime === undefined ? exited : { identity: { pid, startTime }, exited };
  } finally {
    closeSync(log);
  }
}

/** Takes over a process that is not a child: nobody reports its end, so it is looked at. */
export function adoptService(identity: ProcessIdentity, signal: AbortSignal): Service {
  const watch = async (): Promise<Exit> => {
    while (isProcessAlive(identity.pid, identity.startTime)) {
      await sleep(ADOPTED_POLL_MS, undefined, { signal }).catch(() => {});
      if (signal.aborted) await sleep(ADOPTED_POLL_MS / 5); // being stopped: its end is near
    }
    return {};
  };
  return { identity, exited: watch() };
}

/** SIGTERM, then SIGKILL to its whole session. Resolves when the process has gone. */
export async function stopService(service: Service, stopMs: number): Promise<void> {
  const { identity } = service;
  signalTo(identity, identity.pid, 'SIGTERM');
  const timer = setTimeout(() => signalTo(identity, -identity.pid, 'SIGKILL'), stopMs);
  await service.exited;
  clearTimeout(timer);
}

function signalTo(identity: ProcessIdentity, target: number, signal: NodeJS.Signals): void {
  if (!isProcessAlive(identity.pid, identity.startTime)) return;
  try {
    process.kill(target, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

function environmentOf(files: readonly string[]): Record<string, string> {
  const result: Record<string, string> = {};
  for (const file of files) {
    try {
      Object.assign(result, parseEnvironment(readFileSync(file, 'utf8')));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  return result;
}
