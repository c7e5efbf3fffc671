/** Runs the programs of iptables: of the older one, whose tables nft does not show, and of the one that writes tables of nftables. */
import { spawn } from 'node:child_process';
import { DaemonError } from '../errors.ts';

type Family = 'ip' | 'ip6';

const TIMEOUT_MS = 10_000;
/** Services are often started with a PATH that lacks the directories of system programs. */
const SYSTEM_PATH = '/usr/sbin:/usr/bin:/sbin:/bin';

/** Undefined where the program is not installed. */
export function legacySave(family: Family, table: string, signal?: AbortSignal): Promise<string | undefined> {
  return run(`${family}tables-legacy-save`, ['-t', table], '', signal);
}

/** What the program for tables in nftables says of one; undefined where it is not installed. */
export function nftSave(family: Family, table: string, signal?: AbortSignal): Promise<string | undefined> {
  return run(`${family}tables-nft-save`, ['-t', table], '', signal);
}

/** All lines or none, and nothing else is changed. */
export async function legacyRestore(family: Family, input: string, signal?: AbortSignal): Promise<void> {
  const program = `${family}tables-legacy-restore`;
  const output = await run(program, ['--noflush', '-w', '5'], input, signal);
  if (output === undefined)
    throw new DaemonError('KERNEL', `Program ${program} not found: install the package iptables`);
}

function run(
  program: string,
  args: readonly string[],
  input: string,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      env: { PATH: [process.env.PATH, SYSTEM_PATH].filter(Boolean).join(':'), LC_ALL: 'C' },
      stdio: 'pipe',
      timeout: TIMEOUT_MS,
      killSignal: 'SIGKILL',
      ...(signal && { signal }),
    });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
    child.stdin.on('error', () => {}); // it may refuse before it has read everything
    child.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') resolve(undefined);
      else reject(error);
    });
    child.once('close', (code) => {
      const complaint = Buffer.concat(stderr).toString().trim().split('\n')[0] ?? '';
      if (code === 0) resolve(Buffer.concat(stdout).toString());
      else reject(new DaemonError('KERNEL', `${program} failed: ${complaint || `exit status ${code}`}`));
    });
    child.stdin.end(input);
  });
}
