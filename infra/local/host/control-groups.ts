/** The control groups that containers leave behind when their machine is ended at once. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** Processes on their way out keep their group for a moment. */
const PATIENCE_MS = 5_000;

/** kubelet sets limits on it before the first container makes it. */
export function ensureControlGroup(group: string): void {
  for (const path of hierarchies()) mkdirSync(join(path, group), { recursive: true });
}

/** Removes the group, by its path below each hierarchy, with all below it. */
export async function removeControlGroup(group: string): Promise<void> {
  const deadline = Date.now() + PATIENCE_MS;
  while (!controlGroupFolders(group).every(removeControlGroupFolder) && Date.now() < deadline) await sleep(50);
}

/** Of version 2, and of each controller of version 1. */
export function controlGroupFolders(group: string): string[] {
  return hierarchies()
    .map((path) => join(path, group))
    .filter((folder) => existsSync(folder));
}

/** The names at the top of the hierarchies that begin so. */
export function controlGroupsNamed(prefix: string): string[] {
  const names = hierarchies().flatMap((path) => readdirSync(path).filter((name) => name.startsWith(prefix)));
  return [...new Set(names)].map((name) => `/${name}`);
}

function hierarchies(): string[] {
  const mounts = readFileSync('/proc/self/mounts', 'utf8').split('\n');
  return mounts
    .map((line) => line.split(' '))
    .filter(([, , type]) => /^cgroup2?$/.test(type ?? ''))
    .map(([, path]) => path!);
}

/** Depth first; false while one of them still has processes on their way out. */
export function removeControlGroupFolder(folder: string): boolean {
  if (!existsSync(folder)) return true;
  const below = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  const emptied = below.map(({ name }) => removeControlGroupFolder(join(folder, name))).every((gone) => gone);
  if (!emptied) return false;
  try {
    rmdirSync(folder);
    return true;
  } catch {
    return false;
  }
}
