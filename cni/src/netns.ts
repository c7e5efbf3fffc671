import { CLONE_NEWNET, OWN_NETNS } from '@flannel-ts/linux/enter-netns';
import { closeFd, ioctl, O_NONBLOCK, O_RDONLY, openFile } from '@flannel-ts/linux/files';
import { sameFile, statFile } from '@flannel-ts/linux/text-files';
import { CniError, codeOf, ErrorCode, messageOf } from './errors.ts';

const NS_GET_NSTYPE = 0xb703; // linux/nsfs.h, _IO(0xb7, 3)

/**
 * Refuses whatever is no network namespace, and our own one, before anything is touched. (Go's skel compares only after
 * the work is done; by then an ADD or DEL has changed the host's interfaces.)
 */
export function requireSandbox(path: string, mayUseOwn: boolean): void {
  let kind: Kind;
  try {
    kind = inspect(path);
  } catch (error) {
    const code = codeOf(error);
    const reason = code === 'ENOENT' || code === 'ENOTDIR' ? 'no such file or directory' : messageOf(error);
    throw unusable(path, reason);
  }
  if (kind === 'other') throw unusable(path, 'not a network namespace');
  if (kind === 'own' && !mayUseOwn) throw own(path);
}

/** For DEL: false when the namespace is gone already, or something else has taken its name. */
export function sandboxExists(path: string, mayUseOwn: boolean): boolean {
  if (path === '') return false;
  let kind: Kind;
  try {
    kind = inspect(path);
  } catch {
    return false; // ENOENT and relatives; what cannot be opened holds no interface that we could remove
  }
  if (kind === 'own' && !mayUseOwn) throw own(path);
  return kind !== 'other';
}

type Kind = 'pod' | 'own' | 'other';

function inspect(path: string): Kind {
  const fd = openFile(path, O_RDONLY | O_NONBLOCK);
  try {
    if (!isNetworkNamespace(fd)) return 'other';
    return sameFile(statFile(fd), statFile(OWN_NETNS)) ? 'own' : 'pod';
  } finally {
    closeFd(fd);
  }
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
