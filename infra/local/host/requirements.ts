/** What this machine must offer to stand for a cloud. */
import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import type { CheckFailure } from './resource.ts';

const PROGRAMS = ['etcd', 'etcdctl', 'nsenter', 'curl', 'tar', 'sha256sum', 'nft'];
const DIRECTORIES = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];

/** What this machine lacks to be a cloud, told at preview. */
export function machineProblems(): CheckFailure[] {
  const failures: CheckFailure[] = [];
  const fail = (reason: string) => failures.push({ property: 'stack', reason });
  if (process.platform !== 'linux') fail(`The local environment needs Linux, this is ${process.platform}`);
  if (process.getuid?.() !== 0) fail('The local environment makes network namespaces: run the command as root');
  const missing = PROGRAMS.filter(
    (program) => !DIRECTORIES.some((directory) => isExecutable(join(directory, program))),
  );
  if (missing.length > 0) fail(`The local environment needs ${missing.join(', ')}: run "npm run setup"`);
  if (!isReadable('/dev/net/tun')) fail('The local environment needs /dev/net/tun: load the kernel module tun');
  return failures;
}

function isExecutable(path: string): boolean {
  return canAccess(path, constants.X_OK);
}

function isReadable(path: string): boolean {
  return canAccess(path, constants.F_OK);
}

function canAccess(path: string, mode: number): boolean {
  try {
    accessSync(path, mode);
    return true;
  } catch {
    return false;
  }
}
