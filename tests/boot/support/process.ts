/** Commands of the host, as the tests need them. */
import { execFileSync, spawn } from 'node:child_process';

export interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end, whatever it says. */
export function run(command: readonly string[], input = ''): Promise<Result> {
  const child = spawn(command[0]!, command.slice(1), { stdio: 'pipe' });
  const output = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk) => {
    output.stdout += chunk;
  });
  child.stderr.on('data', (chunk) => {
    output.stderr += chunk;
  });
  child.stdin.on('error', () => {}); // it ended without reading: its code says why
  child.stdin.end(input);
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ code: code ?? -1, ...output }));
  });
}

/** For short ones that must succeed. */
export function sh(...command: string[]): string {
  return execFileSync(command[0]!, command.slice(1), { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

/** Waits until `condition` holds; `explain` adds to the error what was seen instead. */
export async function until(
  what: string,
  condition: () => Promise<boolean> | boolean,
  options: { readonly seconds?: number; readonly explain?: () => Promise<string> | string } = {},
): Promise<void> {
  const seconds = options.seconds ?? 60;
  const end = performance.now() + seconds * 1000;
  while (!(await condition())) {
    if (performance.now() > end)
      throw new Error(`${what}: not within ${seconds} s\n${(await options.explain?.()) ?? ''}`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}
