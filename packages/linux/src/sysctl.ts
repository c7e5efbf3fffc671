import { isErrno } from './errors.ts';
import { closeFd, O_RDONLY, openFile, readFd } from './files.ts';
import { SYSCTL, WRITABLE_SYSCTL } from './sysctl-paths.ts';
import { writeTextFile } from './text-files.ts';

/** The kernel gives a parameter in one piece, and none is longer than a page. */
const PAGE = 4096;

/**
 * A kernel parameter by its path below /proc/sys, as `net/ipv4/ip_forward`, without the final line feed. Those below net/
 * belong to the calling thread's network namespace: read or write another's inside `withNetns`.
 */
export function readSysctl(name: string): string {
  const fd = openFile(`${SYSCTL}/${name}`, O_RDONLY);
  try {
    const buffer = new Uint8Array(PAGE);
    return new TextDecoder().decode(buffer.subarray(0, readFd(fd, buffer))).trimEnd();
  } finally {
    closeFd(fd);
  }
}

/** Sets a kernel parameter; true when that changed something. */
export function writeSysctl(name: string, value: string | number): boolean {
  if (readSysctl(name) === String(value)) return false;
  try {
    writeTextFile(`${SYSCTL}/${name}`, `${value}\n`, 0);
  } catch (error) {
    if (!isErrno(error, 'EROFS') || !name.startsWith('net/')) throw error;
    writeElsewhere(name, value, error);
  }
  return true;
}

/** Throws the first error if there is no such place. */
function writeElsewhere(name: string, value: string | number, first: unknown): void {
  try {
    writeTextFile(`${WRITABLE_SYSCTL}/${name.slice('net/'.length)}`, `${value}\n`, 0);
  } catch (error) {
    throw isErrno(error, 'ENOENT') ? first : error;
  }
}
