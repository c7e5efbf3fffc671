import { CLONE_NEWNET, OWN_NETNS } from '@flannel-ts/linux/enter-netns';
import { closeFd, type Fd, ioctl, O_NONBLOCK, O_RDONLY, openFile } from '@flannel-ts/linux/files';
import { sameFile, statFile } from '@flannel-ts/linux/text-files';
import { CniError, codeOf, ErrorCode, messageOf } from './errors.ts';

const NS_GET_NSTYPE = 0xb703; // linux/nsfs.h, _IO(0xb7, 3)

/**
 * Runs `use` with a descriptor of the namespace. It is opened once: by the time of the second look, the path may lead into another
 * pod. Whatever is no network namespace is refused, and our own one, before anything is touched. (Go's skel compares only after
 * the work is done; by then an ADD or DEL has changed the host's interfaces.)
 */
export function withSandbox<T>(path: string, mayUseOwn: boolean, use: (sandbox: Fd) => T): T {
  let fd: Fd;
  try {
    fd = openFile(path, O_RDONLY | O_NONBLOCK);
  } catch (error) {
    const code = codeOf(error);
    const reason = code === 'ENOENT' || code === 'ENOTDIR' ? 'no such file or directory' : messageOf(error);
    throw unusable(path, reason);
  }
  try {
    const kind = inspect(fd);
    if (kind === 'other') throw unusable(path, 'not a network namespace');
    if (kind === 'own' && !mayUseOwn) throw own(path);
    return use(fd);
  } finally {
    closeFd(fd);
  }
}

/** For DEL: undefined when the namespace is gone already, or something else has taken its name. */
export function withSandboxIfAny<T>(path: string, mayUseOwn: boolean, use: (sandbox: Fd | undefined) => T): T {
  const fd = openIfAny(path);
  if (fd === undefined) return use(undefined);
  try {
    const kind = inspect(fd);
    if (kind === 'own' && !mayUseOwn) throw own(path);
    return use(kind === 'other' ? undefined : fd);
  } finally {
    closeFd(fd);
  }
}

function openIfAny(path: string): Fd | undefined {
  if (path === '') return undefined;
  try {
    return openFile(path, O_RDONLY | O_NONBLOCK);
  } catch {
    return undefined; // ENOENT and relatives; what cannot be opened holds no interface that we could remove
  }
}

/** The number of the namespace that this process is in. */
export function ownNamespace(): string {
  return `${statFile(OWN_NETNS).inode}`;
}

type Kind = 'pod' | 'own' | 'other';

function inspect(fd: Fd): Kind {
  if (!isNetworkNamespace(fd)) return 'other';
  return sameFile(statFile(fd), statFile(OWN_NETNS)) ? 'own' : 'pod';
}

function isNetworkNamespace(fd: number): boolean {
  try {
    return ioctl(fd, NS_GET_NSTYPE, 0) === CLONE_NEWNET;
  } catch (error) {
    const code = codeOf(error);
    if (code === 'ENOTTY' || code === 'EINVAL') return false;
    throw error;
  }
}

function unusable(path: string, reason: string): CniError {
  return new CniError(ErrorCode.invalidNetns, `failed to open netns "${path}": ${reason}`);
}

function own(path: string): CniError {
  return new CniError(
    ErrorCode.invalidNetns,
    "plugin's netns and netns from CNI_NETNS should not be the same",
    `CNI_NETNS is ${path}; set CNI_NETNS_OVERRIDE=1 if that is what you want`,
  );
}
