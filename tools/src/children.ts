/** Child processes that take the terminal over, and what happens to signals meanwhile. */
import { type ChildProcess, type SpawnOptions, type StdioOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fstatSync } from 'node:fs';
import { constants } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { ToolError } from '../setup/errors.mjs';

/** A terminal and npm each pass on the same Ctrl-C: what comes within this time is one. */
const SAME_SIGNAL_MS = 400;
/** What the program wrote last is on its way for so long, unless a process that it has left holds the pipe. */
const RELAY_MS = 1000;
/** SIGPIPE comes from output.mjs, and from a relay. */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGPIPE'] as const;
/** A closed terminal or pipe: Pulumi would die of either on the spot, and leave its plugins. */
const INSTEAD: Partial<Record<NodeJS.Signals, NodeJS.Signals>> = { SIGHUP: 'SIGTERM', SIGPIPE: 'SIGINT' };

export interface ForegroundOptions extends Pick<SpawnOptions, 'cwd' | 'env'> {
  /** File descriptor for both outputs, instead of ours. */
  readonly output?: number;
  /** Called with the first signal that is passed on. */
  readonly onSignal?: () => void;
}

/**
 * Runs a program that must be told once, and not twice, that it is to end. Pulumi is one: the first signal lets it finish
 * what it is at, the second one ends it at once and leaves resources that nobody knows of. So it gets a session of its own,
 * which the terminal's Ctrl-C does not reach, and each signal that reaches us is passed on once.
 */
export async function runWithSignals(
  command: string,
  args: readonly string[],
  { output, onSignal, ...options }: ForegroundOptions,
): Promise<number> {
  let last = 0;
  let unread = false;
  let guard: ChildProcess | undefined;
  const relays = output === undefined ? [1, 2].map(startRelay) : [];
  const start = () => {
    const stdio = ['inherit', ...[1, 2].map((fd, index) => output ?? relays[index]?.stdin ?? fd)] as StdioOptions;
    const child = spawn(command, args, { ...options, stdio, detached: true });
    for (const relay of relays) relay?.stdin?.destroy(); // the child has it now
    if (child.pid !== undefined) guard = startGuard(child.pid);
    return child;
  };
  const code = await outcome(start, command, (child, signal) => {
    const now = Date.now();
    if (now - last < SAME_SIGNAL_MS || (signal === 'SIGPIPE' && unread)) return;
    unread ||= signal === 'SIGPIPE'; // of both outputs, and of ours
    if (last === 0) onSignal?.();
    last = now;
    child.kill(INSTEAD[signal] ?? signal);
  });
  await Promise.race([Promise.all(relays.map(untilEnded)), sleep(RELAY_MS)]);
  guard?.stdin?.end('done\n');
  return code;
}

/**
 * Passes on what the program writes, if our own output is a pipe: its reader may close it, and the program shall not die of that. We are
 * told, and the rest is read by nobody. A process of its own, because the program shall not die of our end either.
 */
function startRelay(fd: number): ChildProcess | undefined {
  const stat = fstatSync(fd);
  if (!stat.isFIFO() && !stat.isSocket()) return undefined;
  const script = 'cat || { kill -PIPE "$0"; exec cat > /dev/null; }';
  return spawn('sh', ['-c', script, String(process.pid)], { stdio: ['pipe', fd, 'ignore'], detached: true });
}

async function untilEnded(child: ChildProcess | undefined): Promise<void> {
  if (child !== undefined && child.exitCode === null && child.signalCode === null) await once(child, 'exit');
}

/**
 * Tells the program to end when we are killed and can no longer: then the pipe closes without a word. PR_SET_PDEATHSIG would
 * not do, since a process of several threads, as Node.js is, has the kernel send it several times.
 */
function startGuard(pid: number): ChildProcess {
  const script = 'read -r word || kill -TERM "$0"';
  const guard = spawn('sh', ['-c', script, String(pid)], { stdio: ['pipe', 'ignore', 'ignore'], detached: true });
  guard.unref();
  return guard;
}

/** Runs a program that shares the terminal with us: Ctrl-C reaches it by itself, and it decides what that means. */
export function runInteractive(
  command: string,
  args: readonly string[],
  options: Pick<SpawnOptions, 'cwd' | 'env'> = {},
): Promise<number> {
  const start = () => spawn(command, args, { ...options, stdio: 'inherit' });
  return outcome(start, command, (child, signal) => {
    if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal);
  });
}

/** The exit code, as a shell tells it: 128 and the signal's number if a signal ended the child. */
async function outcome(
  start: () => ChildProcess,
  command: string,
  pass: (child: ChildProcess, signal: NodeJS.Signals) => void,
): Promise<number> {
  let child: ChildProcess | undefined;
  const onSignal = (signal: NodeJS.Signals) => child && pass(child, signal);
  for (const signal of SIGNALS) process.on(signal, onSignal); // first: one that comes early must not end us without the child
  try {
    child = start();
    const running = child;
    return await new Promise((resolve, reject) => {
      running.once('error', (cause) => {
        reject(new ToolError('COMMAND_FAILED', `Cannot run ${command}: ${cause.message}`, { cause }));
      });
      running.once('close', (code, signal) => resolve(signal ? 128 + constants.signals[signal] : (code ?? 1)));
    });
  } finally {
    for (const signal of SIGNALS) process.off(signal, onSignal);
  }
}
