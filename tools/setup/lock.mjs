import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { ToolError } from './errors.mjs';
import { say } from './progress.mjs';

const SAY_AFTER_MS = 1000;

/**
 * Runs `work` while no other process holds the lock `file`. A child of ours holds it (flock(1), util-linux): its standard
 * input is a pipe that closes with this process, however that ends, so there are no stale locks to think about.
 * @template T
 * @param {string} file
 * @param {string} what what the others are doing, said when it takes a while
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function withLock(file, what, work) {
  mkdirSync(dirname(file), { recursive: true });
  // In a process group of its own, so that Ctrl-C does not give up the lock before this process is done.
  const holder = spawn('flock', ['--exclusive', file, 'sh', '-c', 'echo held; exec cat >/dev/null'], {
    stdio: ['pipe', 'pipe', 'inherit'],
    detached: true,
  });
  const waiting = setTimeout(() => say(`Waiting for another process to finish ${what} ...`), SAY_AFTER_MS);
  try {
    await new Promise((resolve, reject) => {
      holder.stdout.once('data', resolve);
      holder.once('error', (cause) =>
        reject(new ToolError('LOCK', `Cannot lock ${file}: is util-linux installed? (${cause.message})`, { cause })),
      );
      holder.once('close', (code) => reject(new ToolError('LOCK', `Cannot lock ${file}: flock ended with ${code}`)));
    });
  } finally {
    clearTimeout(waiting);
  }
  try {
    return await work();
  } finally {
    holder.stdin.end();
    await new Promise((resolve) => (holder.exitCode === null ? holder.once('close', resolve) : resolve(undefined)));
  }
}
