/** Files of a machine, written whole or not at all. */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { closeFd, flock, LOCK_EX, O_CREAT, O_RDWR, openFile } from '@flannel-ts/linux/files';
import type { BootFile } from '../../node/files.ts';
import { STATE_ROOT, stackDirectory } from '../names.ts';

/** Replaces the file by rename, so that a reader sees the old or the new one. */
export function writeWhole(path: string, content: string, mode: number): void {
  mkdirSync(dirname(path), { recursive: true });
  const temporary = `${path}.${process.pid}.new`;
  writeFileSync(temporary, content, { mode });
  chmodSync(temporary, mode); // not what the umask leaves of it
  renameSync(temporary, path);
}

/** Writes those that differ. */
export function writeBootFiles(files: readonly BootFile[]): void {
  for (const file of files) {
    if (bootFileProblem(file) !== undefined) writeWhole(file.path, file.content, Number.parseInt(file.mode, 8));
  }
}

/** What is wrong with the file as it is on the disk; never its content, which may be a key. */
export function bootFileProblem({ path, mode, content }: BootFile): string | undefined {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat?.isFile()) return `${path} is missing`;
  if ((stat.mode & 0o777) !== Number.parseInt(mode, 8)) return `${path} has another mode than ${mode}`;
  return readFileSync(path, 'utf8') === content ? undefined : `${path} was changed`;
}

/**
 * Runs `change` while no other process changes the stack's bridge: two commands may run at a time, one of them to clean up.
 * Synchronous, because a second lock in this process would wait for the first.
 */
export function withStackLock<T>(stack: string, change: () => T): T {
  mkdirSync(stackDirectory(stack), { recursive: true });
  const lock = openFile(`${stackDirectory(stack)}/lock`, O_RDWR | O_CREAT, 0o600);
  try {
    flock(lock, LOCK_EX);
    return change();
  } finally {
    closeFd(lock);
  }
}

/** Removes the directory and those above it, up to the state directory, as far as they are empty. */
export function pruneEmpty(directory: string): void {
  for (let path = directory; path.startsWith(STATE_ROOT); path = dirname(path)) {
    if (!existsSync(path)) continue;
    if (readdirSync(path).length > 0) return;
    rmdirSync(path);
  }
}
