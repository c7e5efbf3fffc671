/** What the local environment requires of this machine. */
import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import type { BackendConfig } from '@flannel-ts/flannel/backend-config';
import { withNetlink } from '@flannel-ts/rtnetlink/connection';
import { hasLinkKind } from '@flannel-ts/rtnetlink/link-add';
import { underlayNeeds } from '../../node/underlay.ts';
import type { CheckFailure } from './resource.ts';

const PROGRAMS = ['etcd', 'etcdctl', 'nsenter', 'curl', 'tar', 'sha256sum', 'nft'];
const DIRECTORIES = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];

/** What this machine lacks to run a stack with this backend; reported at preview. */
export function machineProblems(backend: BackendConfig): CheckFailure[] {
  const failures: CheckFailure[] = [];
  const fail = (reason: string) => failures.push({ property: 'stack', reason });
  if (process.platform !== 'linux') fail(`The local environment needs Linux, this is ${process.platform}`);
  if (process.getuid?.() !== 0) fail('The local environment makes network namespaces: run the command as root');
  const missing = PROGRAMS.filter(
    (program) => !DIRECTORIES.some((directory) => isExecutable(join(directory, program))),
  );
  if (missing.length > 0) fail(`The local environment needs ${missing.join(', ')}: run "npm run setup"`);
  if (!isReadable('/dev/net/tun')) fail('The local environment needs /dev/net/tun: load the kernel module tun');
  const kernel = kernelProblem(backend);
  if (kernel !== undefined) fail(kernel);
  return failures;
}

/** Why this kernel cannot run the backend; undefined if it can. */
export function kernelProblem(backend: BackendConfig): string | undefined {
  const { linkKind } = underlayNeeds(backend);
  if (linkKind === undefined || process.getuid?.() !== 0) return undefined; // without root the question itself is refused
  if (withNetlink({}, (nl) => hasLinkKind(nl, linkKind))) return undefined;
  return `This kernel has no ${linkKind} devices, which the ${backend.type} backend needs: load the module ("modprobe ${linkKind}"), or choose another backend, like --backend udp`;
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
