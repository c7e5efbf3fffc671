/** The control groups of machines: folders at the root of the host's cgroup2 hierarchy. */
import { existsSync, readdirSync, readFileSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';

export function cgroupHierarchy(): string {
  const mounts = readFileSync('/proc/mounts', 'utf8').split('\n');
  const hierarchy = mounts.map((line) => line.split(' ')).find(([, , type]) => type === 'cgroup2');
  if (hierarchy === undefined) throw new Error('There is no cgroup2 hierarchy, which systemd needs: mount one');
  return hierarchy[1]!;
}

/** Depth first; false while one of them still has processes on their way out. */
export function removeCgroup(folder: string): boolean {
  if (!existsSync(folder)) return true;
  const below = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  const emptied = below.map(({ name }) => removeCgroup(join(folder, name))).every((gone) => gone);
  if (!emptied) return false;
  try {
    rmdirSync(folder);
    return true;
  } catch {
    return false;
  }
}
