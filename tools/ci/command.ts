/** The user's own test. */
import { type SpawnOptions, spawn } from 'node:child_process';
import { constants } from 'node:os';
import { ToolError } from '../setup/errors.mjs';

/** How long it may take to end by itself after SIGTERM. */
const GRACE_MS = 10_000;

/**
 * Its exit code, as a shell tells it. An abort ends the whole group that it has started: SIGTERM first, and SIGKILL for what
 * does not listen.
 */
export function runCommand(
  [program = '', ...args]: readonly string[],
  options: Pick<SpawnOptions, 'cwd' | 'env'>,
  signal: AbortSignal,
): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { ...options, stdio: ['ignore', 'inherit', 'inherit'], detached: true });
    let deadline: NodeJS.Timeout | undefined;
    const tell = (name: NodeJS.Signals) => {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, name);
      } catch {
        // The group has ended meanwhile.
      }
    };
    const onAbort = () => {
      tell('SIGTERM');
      deadline = setTimeout(() => tell('SIGKILL'), GRACE_MS);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    const done = () => {
      signal.removeEventListener('abort', onAbort);
      clearTimeout(deadline);
    };
    child.once('error', (cause) => {
      done();
      reject(new ToolError('COMMAND_FAILED', `Cannot run ${program}: ${cause.message}`, { cause }));
    });
    child.once('close', (code, by) => {
      done();
      resolve(by ? 128 + constants.signals[by] : (code ?? 1));
    });
  });
}
