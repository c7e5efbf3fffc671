/** Child processes that take the terminal over, and what happens to signals meanwhile. */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { constants } from 'node:os';
import { ToolError } from '../setup/errors.mjs';

/** A terminal and npm each pass on the same Ctrl-C: what comes within this time is one. */
const SAME_SIGNAL_MS = 400;
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

export type ForegroundOptions = Pick<SpawnOptions, 'cwd' | 'env'>;

/**
 * Runs a program that must be told once, and not twice, that it is to end. Pulumi is one: the first signal lets it finish
 * what it is at, the second one ends it at once and leaves resources that nobody knows of. So it gets a session of its own,
 * which the terminal's Ctrl-C does not reach, and each signal that reaches us is passed on once. If we are killed, the
 * kernel tells it (prctl(2), PR_SET_PDEATHSIG; setpriv is of util-linux).
 */
export function runWithSignals(command: string, args: readonly string[], options: ForegroundOptions): Promise<number> {
  const child = spawn('setpriv', ['--pdeathsig', 'TERM', '--', command, ...args], {
    ...options,
    stdio: 'inherit',
    detached: true,
  });
  let last = 0;
  return outcome(child, command, (signal) => {
    const now = Date.now();
    if (now - last < SAME_SIGNAL_MS) return;
    last = now;
    child.kill(signal === 'SIGHUP' ? 'SIGTERM' : signal); // a closed terminal: Pulumi would die of SIGHUP on the spot
  });
}

/** Runs a program that shares the terminal with us: Ctrl-C reaches it by itself, and it decides what that means. */
export function runInteractive(
  command: string,
  args: readonly string[],
  options: ForegroundOptions = {},
): Promise<number> {
  const child = spawn(command, args, { ...options, stdio: 'inherit' });
  return outcome(child, command, (signal) => {
    if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal);
  });
}

/** The exit code, as a shell tells it: 128 and the signal's number if a signal ended the child. */
async function outcome(
  child: ChildProcess,
  command: string,
  onSignal: (signal: NodeJS.Signals) => void,
): Promise<number> {
  for (const signal of SIGNALS) process.on(signal, onSignal);
  try {
    return await new Promise((resolve, reject) => {
      child.once('error', (cause) => {
        reject(new ToolError('COMMAND_FAILED', `Cannot run ${command}: ${cause.message}`, { cause }));
      });
      child.once('close', (code, signal) => resolve(signal ? 128 + constants.signals[signal] : (code ?? 1)));
    });
  } finally {
    for (const signal of SIGNALS) process.off(signal, onSignal);
  }
}
