import { closeSync, existsSync, mkdirSync, openSync, rmSync, statfsSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { CLONE_NEWNET, OWN_NETNS, returning } from './enter-netns.ts';
import { ERRNO } from './errno.ts';
import { checked, isErrno, SystemError } from './errors.ts';
import { libc } from './ffi/libc.ts';
import { closeFd, flock, LOCK_EX, O_DIRECTORY, O_RDONLY, openFile } from './files.ts';
import { MNT_DETACH, makeMountShared, mountBind, unmount } from './mount.ts';

export { withNetns } from './enter-netns.ts';

const NSFS_MAGIC = 0x6e736673; // linux/magic.h

/**
 * Makes a network namespace that exists as long as `path` does, as `ip netns add`: its loopback device is down.
 * An existing path is an error (EEXIST); a path left behind without its mount (as after a crash) is taken over.
 */
export function createNetns(path: string): void {
  const directory = dirname(path);
  mkdirSync(directory, { recursive: true });
  // A second process that also finds no mount would put another one over it, and hide what was made between (iproute2 takes
  // the same lock since 6.2); and it would take the file below for one left behind.
  withDirectoryLock(directory, () => {
    shareDirectory(directory);
    if (existsSync(path) && !isNetns(path)) rmSync(path);
    makeName(path);
    try {
      returning(() => {
        checked(libc.unshare(CLONE_NEWNET), 'unshare', `create the network namespace "${path}"`);
        mountBind(OWN_NETNS, path);
      });
    } catch (error) {
      rmSync(path, { force: true });
      throw error;
    }
  });
}

/** The file to mount on. */
function makeName(path: string): void {
  try {
    closeSync(openSync(path, 'wx', 0o444));
  } catch (error) {
    if (!isErrno(error, 'EEXIST')) throw error;
    throw new SystemError('open', ERRNO.EEXIST!, `create the network namespace "${path}"`);
  }
}

/** `ip netns del`: removes the name. The namespace goes when the last process and socket in it has gone. */
export function deleteNetns(path: string): void {
  try {
    unmount(path, MNT_DETACH);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return;
    if (!isErrno(error, 'EINVAL')) throw error; // EINVAL: nothing is mounted there
  }
  rmSync(path, { force: true });
}

export function netnsExists(path: string): boolean {
  return isNetns(path);
}

/** Whether `path` is a namespace at all (bind mount or /proc file), and not a plain file where one used to be. */
export function isNetns(path: string): boolean {
  try {
    return statfsSync(path).type === NSFS_MAGIC;
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR', 'ESRCH')) return false;
    throw error;
  }
}

/** Whether two paths name one namespace. */
export function sameNetns(a: string, b: string): boolean {
  const [left, right] = [statSync(a, { bigint: true }), statSync(b, { bigint: true })];
  return left.dev === right.dev && left.ino === right.ino;
}

function withDirectoryLock(directory: string, fn: () => void): void {
  const lock = openFile(directory, O_RDONLY | O_DIRECTORY);
  try {
    flock(lock, LOCK_EX);
    fn();
  } finally {
    closeFd(lock);
  }
}

/**
 * Namespaces mounted here must show up in mount namespaces that exist already (a container runtime's, a pod's), and
 * unmounting must reach them: iproute2 makes its directory a shared mount for that reason, and so do we.
 */
function shareDirectory(directory: string): void {
  try {
    makeMountShared(directory);
  } catch (error) {
    if (!isErrno(error, 'EINVAL')) throw error; // EINVAL: not a mount point yet
    mountBind(directory, directory, { recursive: true }); // with the namespaces that are mounted there already
    makeMountShared(directory);
  }
}
