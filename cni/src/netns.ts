import { statSync } from 'node:fs';
import { closeFd, ioctl, O_NONBLOCK, O_RDONLY, openFile } from '@flannel-ts/linux/files';
import { isNetns, sameNetns } from '@flannel-ts/linux/netns';
import { CniError, codeOf, ErrorCode, messageOf } from './errors.ts';

const NS_GET_NSTYPE = 0xb703; // linux/nsfs.h, _IO(0xb7, 3)
const CLONE_NEWNET = 0x40000000; // linux/sched.h
const OWN_NETNS = '/proc/thread-self/ns/net';

/**
 * Refuses whatever is no network namespace, and our own one, before anything is touched. (Go's skel compares only after
 * the work is done; by then an ADD or DEL has changed the host's interfaces.)
 */
export function requireSandbox(path: string, mayUseOwn: boolean): void {
  let problem: string | undefined;
  try {
    problem = describeProblem(path);
  } catch (error) {
    const code = codeOf(error);
    problem = code === 'ENOENT' || code === 'ENOTDIR' ? 'no such file or directory' : messageOf(error);
  }
  if (problem !== undefined) {
    throw new CniError(ErrorCode.invalidNetns, `failed to open netns "${path}": ${problem}`);
  }
  refuseOwn(path, mayUseOwn);
}

/** For DEL: false when the namespace is gone already, or something else has taken its name. */
export function sandboxExists(path: string, mayUseOwn: boolean): boolean {
  if (path === '') return false;
  try {
    if (describeProblem(path) !== undefined) return false;
  } catch {
    return false; // ENOENT and relatives; what cannot be opened holds no interface that we could remove
  }
  refuseOwn(path, mayUseOwn);
  return true;
}

function describeProblem(path: string): string | undefined {
  if (!isNetns(path)) {
    statSync(path); // its error says more
    return 'not a namespace';
  }
  const fd = openFile(path, O_RDONLY | O_NONBLOCK);
  try {
    if (ioctl(fd, NS_GET_NSTYPE, 0) !== CLONE_NEWNET) return 'a namespace, but not of the network';
  } finally {
    closeFd(fd);
  }
  return undefined;
}

function refuseOwn(path: string, mayUseOwn: boolean): void {
  if (mayUseOwn || !sameNetns(path, OWN_NETNS)) return;
  throw new CniError(
    ErrorCode.invalidNetns,
    "plugin's netns and netns from CNI_NETNS should not be the same",
    `CNI_NETNS is ${path}; set CNI_NETNS_OVERRIDE=1 if that is what you want`,
  );
}
