/** The kubeconfigs that kubectl reads: which they are, and how one is changed while others change it, too. */
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ToolError } from '../../setup/errors.mjs';

/** Others hold it for the moment of a write. */
const LOCK_MS = 10_000;
const POLL_MS = 50;

type Environment = Readonly<Record<string, string | undefined>>;

/** In kubectl's order: those of $KUBECONFIG, or the one in the home directory. */
export function kubeconfigPaths(env: Environment): string[] {
  const named = (env.KUBECONFIG ?? '').split(delimiter).filter((path) => path !== '');
  return named.length > 0 ? named : [join(env.HOME ?? homedir(), '.kube', 'config')];
}

/** Where kubectl adds what is new: to the first that exists, or else to the last. */
export function kubeconfigToAddTo(env: Environment): string {
  const paths = kubeconfigPaths(env);
  return paths.find((path) => existsSync(path)) ?? paths.at(-1)!;
}

/**
 * Replaces the file's text by what `change` makes of it; undefined leaves it alone. Nobody sees half of it, whoever takes kubectl's lock waits,
 * and the file keeps its mode, its owner and the links that lead to it. An error of `change` is told of the file.
 */
export async function changeKubeconfig(
  path: string,
  change: (text: string) => string | undefined,
  lockMs = LOCK_MS,
): Promise<boolean> {
  const file = existsSync(path) ? realpathSync(path) : path;
  makeDirectory(dirname(file));
  const lock = `${file}.lock`; // kubectl's
  await takeLock(lock, lockMs);
  try {
    const before = existsSync(file) ? readFileSync(file, 'utf8') : '';
    const after = changed(file, before, change);
    if (after === undefined || after === before) return false;
    replace(file, after);
    return true;
  } finally {
    rmSync(lock, { force: true });
  }
}

function changed(file: string, text: string, change: (text: string) => string | undefined): string | undefined {
  try {
    return change(text);
  } catch (error) {
    throw new ToolError('KUBECONFIG', `${file} ${(error as Error).message}; it was left as it is`);
  }
}

function replace(file: string, text: string): void {
  const before = statSync(existsSync(file) ? file : dirname(file));
  const mode = before.isFile() ? before.mode & 0o777 : 0o600;
  const temporary = `${file}.${process.pid}.new`;
  try {
    writeFileSync(temporary, text, { mode, flag: 'wx' });
    chmodSync(temporary, mode);
    chownSync(temporary, before.uid, before.gid); // of the user that sudo has made root
    renameSync(temporary, file);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

function makeDirectory(directory: string): void {
  if (existsSync(directory)) return;
  mkdirSync(directory, { recursive: true, mode: 0o750 });
  const { uid, gid } = statSync(dirname(directory));
  chownSync(directory, uid, gid);
}

async function takeLock(lock: string, patienceMs: number): Promise<void> {
  const deadline = Date.now() + patienceMs;
  for (;;) {
    try {
      closeSync(openSync(lock, 'wx', 0o600));
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    if (Date.now() > deadline) {
      throw new ToolError(
        'KUBECONFIG',
        `${lock} has been there for ${patienceMs / 1000} s: another program changes the file, or has ended while it did; remove it in that case`,
      );
    }
    await sleep(POLL_MS);
  }
}
