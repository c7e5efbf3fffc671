/** Child processes that take the terminal over, and what happens to signals meanwhile. */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { constants } from 'node:os';
import { ToolError } from '../setup/errors.mjs';

/** A terminal and npm each pass on the same Ctrl-C: what comes within this time is one. */
const SAME_SIGNAL_MS = 400;
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

export interface ForegroundOptions extends Pick<SpawnOptions, 'cwd' | 'env'> {
  /** File descriptor for both outputs, instead of ours. */
  readonly output?: number;
}

/**
 * Runs a program that must be told once, and not twice, that it is to end. Pulumi is one: the first signal lets it finish
 * what it is at, the second one ends it at once and leaves resources that nobody knows of. So it gets a session of its own,
 * which the terminal's Ctrl-C does not reach, and each signal that reaches us is passed on once.
 */
export async function runWithSignals(
  command: string,
  args: readonly string[],
  { output, ...options }: ForegroundOptions,
): Promise<number> {
  let last = 0;
  let guard: ChildProcess | undefined;
  const start = () => {
    const stdio: SpawnOptions['stdio'] = output === undefined ? 'inherit' : ['inherit', output, output];
    const child = spawn(command, args, { ...options, stdio, detached: true });
    if (child.pid !== undefined) guard = startGuard(child.pid);
    return child;
  };
  const code = await outcome(start, command, (child, signal) => {
    const now = Date.now();
    if (now - last < SAME_SIGNAL_MS) return;
    last = now;
    child.kill(signal === 'SIGHUP' ? 'SIGTERM' : signal); // a closed terminal: Pulumi would die of SIGHUP on the spot
  });
  guard?.stdin?.end('done\n');
  return code;
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
