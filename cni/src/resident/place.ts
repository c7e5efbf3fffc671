import { closeFd, O_RDONLY, openFile, pread } from '@flannel-ts/linux/files';
import { isDirectory, statFile } from '@flannel-ts/linux/text-files';
import { codeOf } from '../errors.ts';
import { ownNamespace } from '../netns.ts';

/** Of the node's own flanneld. */
export const OWN_SUBNET_FILE = '/run/flannel/subnet.env';
/** As in tools/build/launcher.ts. Where it is missing, or not root's alone, there is no resident process. */
export const DIRECTORY = '/run/flannel/cni';
export const OWN_PROGRAM = '/proc/self/exe';
/** As in tools/build/guard-entry.ts. */
const IDENTITY_LETTERS = 16;

/**
 * Where the resident process of this build and of this network namespace listens; undefined where there is to be none. Only root may be
 * able to put a socket there.
 */
export function residentSocket(): string | undefined {
  try {
    const status = statFile(DIRECTORY);
    if ((status.mode & 0o077) !== 0 || status.owner !== 0 || !isDirectory(status)) return undefined;
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return undefined;
    throw error;
  }
  const identity = ownIdentity();
  return identity && `${DIRECTORY}/net:[${ownNamespace()}]-${identity}`;
}

/** Undefined for a build without a launcher. */
function ownIdentity(): string | undefined {
  const bytes = new Uint8Array(IDENTITY_LETTERS);
  const fd = openFile(OWN_PROGRAM, O_RDONLY);
  try {
    pread(fd, bytes, Number(statFile(fd).size) - IDENTITY_LETTERS);
  } finally {
    closeFd(fd);
  }
  const identity = new TextDecoder().decode(bytes);
  return /^[0-9a-f]+$/.test(identity) ? identity : undefined;
}
