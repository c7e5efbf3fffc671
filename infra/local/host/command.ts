/** Runs programs of this machine in the network namespace of another. Secrets must not be arguments. */
import { spawn } from 'node:child_process';
import { InfraError } from '../../errors.ts';

export interface CommandOptions {
  /** The namespace to run in; this machine's own one by default. */
  readonly netns?: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly input?: string;
  readonly timeoutMs?: number;
}

export interface CommandResult {
  /** Undefined if it was ended by a signal or could not be started. */
  readonly code: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** An environment with the search path only. */
export function cleanEnvironment(variables: Readonly<Record<string, string>> = {}): Record<string, string> {
  return { PATH, ...variables };
}

/** The argument vector that runs `command` in the network at `netns`: only the network changes, not the view of /sys. */
export function inNetns(netns: string | undefined, command: readonly string[]): string[] {
  return netns === undefined ? [...command] : ['nsenter', `--net=${netns}`, '--', ...command];
}

/** Resolves when the program has ended. */
export function runCommand(command: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  const [program, ...args] = inNetns(options.netns, command);
  return new Promise((resolve) => {
    const child = spawn(program!, args, {
      env: cleanEnvironment(options.environment),
      stdio: ['pipe', 'pipe', 'pipe'],
      timeout: options.timeoutMs ?? 30_000,
      killSignal: 'SIGKILL',
    });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    child.on('error', (error) => resolve({ code: undefined, stdout, stderr: error.message }));
    child.on('close', (code) => resolve({ code: code ?? undefined, stdout, stderr }));
    child.stdin.on('error', () => {}); // a program that does not read its input is none of our business
    child.stdin.end(options.input ?? '');
  });
}

/** Standard output of the program; any exit code but 0 is an error, `Cannot ATTEMPT: ...`. */
export async function mustRun(
  command: readonly string[],
  attempt: string,
  options: CommandOptions = {},
): Promise<string> {
  const { code, stdout, stderr } = await runCommand(command, options);
  if (code === 0) return stdout;
  const said =
    (stderr || stdout).trim() || `${command[0]} ended with ${code === undefined ? 'a signal' : `code ${code}`}`;
  throw new InfraError('COMMAND_FAILED', `Cannot ${attempt}: ${said}`);
}
