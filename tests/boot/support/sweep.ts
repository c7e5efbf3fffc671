/** What a test run that was killed has left: its machines are gone with it, but not what was made around them. */
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { removeControlGroupFolder } from '@flannel-ts/infra/local/host/control-groups';
import { deleteNetns } from '@flannel-ts/linux/netns';
import { cgroupHierarchy } from './cgroups.ts';
import { sh } from './process.ts';

const NETNS = '/run/netns';
const OURS = /^fltest-(\d+)-boot/;

export function sweep(): void {
  for (const name of abandoned(NETNS)) deleteNetns(join(NETNS, name));
  const cgroups = cgroupHierarchy();
  for (const name of abandoned(cgroups)) removeControlGroupFolder(join(cgroups, name));
  for (const name of abandoned(tmpdir())) {
    const directory = join(tmpdir(), name);
    for (const file of readdirSync(directory).filter((each) => each.endsWith('.img'))) {
      const loops = sh('losetup', '--noheadings', '--output=NAME', '--associated', join(directory, file));
      for (const loop of loops.split('\n').filter((line) => line !== '')) sh('losetup', '--detach', loop.trim());
    }
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Names of runs that are over. */
function abandoned(directory: string): string[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory).filter((name) => {
    const pid = OURS.exec(name)?.[1];
    return pid !== undefined && !existsSync(`/proc/${pid}`);
  });
}
