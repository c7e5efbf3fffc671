import { libc } from './ffi/libc.ts';

/**
 * A child process, waited for. Under Bun its own call, which takes 1 ms where loading and using node:child_process takes 8:
 * more than the CNI plugin has for everything else.
 */
export interface RunOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** What it reads on stdin. */
  readonly input?: string;
  /** After it, the program and all that it started in its process group are killed. */
  readonly timeoutMs: number;
  /** It writes to our stderr, instead of into the outcome. */
  readonly inheritStderr?: boolean;
  readonly maxOutputBytes?: number;
}

export interface RunOutcome {
  /** Null when a signal ended it. */
  readonly status: number | null;
  readonly signal: string | null;
  readonly timedOut: boolean;
  readonly stdout: string;
  readonly stderr: string;
}

const MAX_OUTPUT_BYTES = 4 << 20;

/** The part of Bun used here. */
interface BunSpawn {
  spawnSync(options: {
    cmd: readonly string[];
    env: Record<string, string>;
    stdin: Uint8Array;
    stdout: 'pipe';
    stderr: 'pipe' | 'inherit';
    timeout: number;
    killSignal: string;
    detached: boolean;
    maxBuffer: number;
  }): {
    pid: number;
    exitCode: number | null;
    signalCode?: string | null;
    exitedDueToTimeout?: boolean;
    stdout: Uint8Array;
    stderr?: Uint8Array;
  };
}

/** Throws what the system says (ENOENT, EACCES, ...) when the program cannot be started. */
export function runProgram(file: string, args: readonly string[], options: RunOptions): RunOutcome {
  const bun = (globalThis as { Bun?: BunSpawn }).Bun;
  const { pid, ...outcome } = bun === undefined ? runByNode(file, args, options) : runByBun(bun, file, args, options);
  // The child is the leader of a group of its own. The pid cannot be another's yet: the group keeps it as long as it has members.
  if (outcome.timedOut) libc.kill(-pid, SIGKILL);
  return outcome;
}

const SIGKILL = 9;

function runByBun(
  bun: BunSpawn,
  file: string,
  args: readonly string[],
  options: RunOptions,
): RunOutcome & { pid: number } {
  const run = bun.spawnSync({
    cmd: [file, ...args],
    env: definedOnly(options.env),
    stdin: new TextEncoder().encode(options.input ?? ''),
    stdout: 'pipe',
    stderr: options.inheritStderr ? 'inherit' : 'pipe',
    timeout: options.timeoutMs,
    killSignal: 'SIGKILL',
    maxBuffer: options.maxOutputBytes ?? MAX_OUTPUT_BYTES,
    detached: true,
  });
  const decoder = new TextDecoder();
  const signal = run.signalCode ?? null;
  return {
    pid: run.pid,
    status: signal === null ? run.exitCode : null,
    signal,
    timedOut: run.exitedDueToTimeout === true,
    stdout: decoder.decode(run.stdout),
    stderr: run.stderr === undefined ? '' : decoder.decode(run.stderr),
  };
}

function runByNode(file: string, args: readonly string[], options: RunOptions): RunOutcome & { pid: number } {
  const { spawnSync } = process.getBuiltinModule('node:child_process');
  const run = spawnSync(file, args, {
    env: definedOnly(options.env),
    input: options.input ?? '',
    stdio: ['pipe', 'pipe', options.inheritStderr ? 'inherit' : 'pipe'],
    timeout: options.timeoutMs,
    killSignal: 'SIGKILL',
    maxBuffer: options.maxOutputBytes ?? MAX_OUTPUT_BYTES,
    encoding: 'utf8',
    // Known to Node's spawnSync, but not to its types.
    ...{ detached: true },
  });
  const problem = (run.error as NodeJS.ErrnoException | undefined)?.code;
  // EPIPE: it ended without reading its input; its exit status explains that better.
  if (run.error !== undefined && problem !== 'ETIMEDOUT' && problem !== 'EPIPE') throw run.error;
  return {
    pid: run.pid,
    status: run.status,
    signal: run.signal,
    timedOut: problem === 'ETIMEDOUT',
    stdout: run.stdout,
    stderr: run.stderr ?? '',
  };
}

function definedOnly(env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const copy: Record<string, string> = {};
  for (const [name, value] of Object.entries(env)) if (value !== undefined) copy[name] = value;
  return copy;
}
