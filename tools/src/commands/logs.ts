import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { machineRoot, stackDirectory } from '@flannel-ts/infra/local/names';
import { ToolError } from '../../setup/errors.mjs';
import { runInteractive } from '../children.ts';
import type { Context, Options } from '../context.ts';
import { flag } from '../pulumi/names.ts';

export async function logs(_: Context, { stack, words: [machine = ''], follow, lines }: Options): Promise<number> {
  const service = /^etcd-\d+$/.test(machine) ? 'etcd' : 'flanneld';
  const file = join(machineRoot(stack, machine), 'var', 'log', `${service}.log`);
  if (!/^[a-z0-9-]+$/.test(machine) || !existsSync(file)) throw noLog(stack, machine);
  // By name, so that it goes on in the new file when the log is rotated.
  const args = ['-n', String(lines), ...(follow ? ['-F'] : []), file];
  const code = process.stdout.isTTY ? await runFormatted('tail', args) : await runInteractive('tail', args);
  return follow && code === 130 ? 0 : code; // Ctrl-C is how one ends it
}

/** Shows what it prints as lines for people; Ctrl-C reaches it from the terminal. */
async function runFormatted(program: string, args: readonly string[]): Promise<number> {
  const ignore = () => {};
  process.on('SIGINT', ignore);
  const child = spawn(program, args, { stdio: ['inherit', 'pipe', 'inherit'] });
  const ended = new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve(signal === 'SIGINT' ? 130 : (code ?? 1)));
  });
  for await (const line of createInterface({ input: child.stdout })) process.stdout.write(`${formatLogLine(line)}\n`);
  process.off('SIGINT', ignore);
  return ended;
}

/** pino's, as flanneld writes them where its output is no terminal. */
const LEVELS: Readonly<Record<number, string>> = {
  10: 'TRACE',
  20: 'DEBUG',
  30: 'INFO',
  40: 'WARN',
  50: 'ERROR',
  60: 'FATAL',
};

/** `12:34:56.789 INFO message key=value`; a line that is not flanneld's JSON stays as it is. */
export function formatLogLine(line: string): string {
  const { level, time, msg, ...rest } = parseObject(line) ?? {};
  if (level === undefined || time === undefined) return line;
  const fields = Object.entries(rest).map(
    ([key, value]) => ` ${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  );
  return `${String(time).slice(11, 23)} ${LEVELS[Number(level)] ?? level} ${msg}${fields.join('')}`;
}

function parseObject(line: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

function noLog(stack: string, machine: string): ToolError {
  const directory = join(stackDirectory(stack), 'nodes');
  const machines = existsSync(directory) ? readdirSync(directory).sort() : [];
  return machines.length > 0
    ? new ToolError('NO_LOG', `Stack "${stack}" has no log of "${machine}": use one of ${machines.join(', ')}`)
    : new ToolError(
        'NO_LOG',
        `Stack "${stack}" does not exist on this machine: "npm run up${flag(stack)}" creates it, "npm run stacks" lists those that exist`,
      );
}
