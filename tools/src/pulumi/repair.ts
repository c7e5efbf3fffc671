/**
 * Mends what a killed Pulumi leaves in the files of its backend. It replaces a state by rename, but writes the attributes
 * beside it (`NAME.json.attrs`, gocloud.dev/blob/fileblob) in place: cut off there, they are empty, and every later command
 * fails on every stack, with "EOF".
 */
import { copyFileSync, existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { say } from '../../setup/progress.mjs';
import { PROJECT } from '../settings/effective.ts';

/** `directory`: of the file backend. */
export function repairBackend(directory: string): void {
  const stacks = join(directory, '.pulumi', 'stacks', PROJECT);
  for (const name of list(stacks)) {
    if (name.endsWith('.json')) repairState(join(stacks, name));
  }
  const locks = join(directory, '.pulumi', 'locks', 'organization', PROJECT);
  for (const place of [stacks, ...list(locks).map((stack) => join(locks, stack))]) {
    for (const name of list(place).filter((each) => each.endsWith('.attrs'))) {
      // Without them the file is read as it is.
      if (!isJson(join(place, name))) rmSync(join(place, name), { force: true });
    }
  }
}

function repairState(file: string): void {
  const backup = `${file}.bak`;
  if (isJson(file) || !existsSync(backup) || !isJson(backup)) return;
  copyFileSync(backup, file);
  say(`${file} was damaged, and is again what it was one change before`);
}

function isJson(file: string): boolean {
  try {
    JSON.parse(readFileSync(file, 'utf8'));
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT'; // gone meanwhile: another command's
  }
}

function list(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return []; // nothing was ever kept there
  }
}
