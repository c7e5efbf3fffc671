/** A directory for a test, and programs that stand for real ones. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

const directories: string[] = [];

/** Removed by `removeScratch()`. */
export function scratch(): string {
  const directory = mkdtempSync(join(tmpdir(), 'fltest-tools-'));
  directories.push(directory);
  return directory;
}

export function removeScratch(): void {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true });
}

export function write(path: string, content: string): string {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
  return path;
}

export function program(path: string, script: string): string {
  write(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
  return path;
}
