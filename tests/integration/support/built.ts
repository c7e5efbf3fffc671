/**
 * Programs that tests run, built once for the same sources. They are kept in the temporary directory: the nodes of the tests
 * do not see the checkout.
 */
import {
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { hashFiles, listInputs } from '../../../tools/build/inputs.mjs';

const ROOT = path.resolve(__dirname, '../../..');
const KEPT = path.join(tmpdir(), `flannel-ts-built-${process.getuid!()}`);
/** What no test has used for so long is removed. A test file takes minutes. */
const KEEP_MS = 60 * 60 * 1000;

export interface Build {
  /** Names the kind of program, and with the hash of `sources` its directory. */
  readonly name: string;
  /** Relative to the checkout: files, and directories with all that is in them. */
  readonly sources: readonly string[];
  /** Further input, such as a version. */
  readonly settings?: string;
}

/** Calls `make` with an empty directory unless these sources were built before. Returns a directory of the caller's own. */
export function built(build: Build, make: (directory: string) => void): string {
  const kept = locate(build);
  if (!isThere(kept)) {
    const work = startWork();
    make(work);
    publish(work, kept);
  }
  return copy(kept);
}

export async function builtAsync(build: Build, make: (directory: string) => Promise<void>): Promise<string> {
  const kept = locate(build);
  if (!isThere(kept)) {
    const work = startWork();
    await make(work);
    publish(work, kept);
  }
  return copy(kept);
}

function locate({ name, sources, settings = '' }: Build): string {
  const files = listInputs(ROOT, [...sources, 'tools/build', 'package-lock.json']);
  const hash = hashFiles(ROOT, files).slice(0, 16);
  return path.join(KEPT, [name, settings, hash].filter((part) => part !== '').join('-'));
}

function isThere(kept: string): boolean {
  try {
    utimesSync(kept, new Date(), new Date());
    return true;
  } catch {
    return false;
  }
}

function startWork(): string {
  mkdirSync(KEPT, { recursive: true, mode: 0o700 });
  if (lstatSync(KEPT).uid !== process.getuid!()) throw new Error(`${KEPT} belongs to another user: remove it`);
  return mkdtempSync(path.join(KEPT, 'work-'));
}

function publish(work: string, kept: string): void {
  try {
    renameSync(work, kept);
  } catch {
    rmSync(work, { recursive: true }); // another test was faster
  }
  for (const name of readdirSync(KEPT)) {
    const other = path.join(KEPT, name);
    const stats = lstatSync(other, { throwIfNoEntry: false });
    if (stats && Date.now() - stats.mtimeMs > KEEP_MS) rmSync(other, { recursive: true, force: true });
  }
}

/** Links take no time and no space. */
function copy(kept: string): string {
  const directory = mkdtempSync(path.join(tmpdir(), 'fltest-built-'));
  for (const entry of readdirSync(kept, { withFileTypes: true })) {
    const [from, to] = [path.join(kept, entry.name), path.join(directory, entry.name)];
    if (entry.isDirectory()) symlinkSync(from, to);
    else linkSync(from, to);
  }
  return directory;
}
