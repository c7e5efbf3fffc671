/** The control groups of machines: folders at the root of the host's cgroup2 hierarchy. */
import { readFileSync } from 'node:fs';

export function cgroupHierarchy(): string {
  const mounts = readFileSync('/proc/mounts', 'utf8').split('\n');
  const hierarchy = mounts.map((line) => line.split(' ')).find(([, , type]) => type === 'cgroup2');
  if (hierarchy === undefined) throw new Error('There is no cgroup2 hierarchy, which systemd needs: mount one');
  return hierarchy[1]!;
}
