import { checked, isErrno } from './errors.ts';
import { libc } from './ffi/libc.ts';
import {
  closeFd,
  type Fd,
  O_CREAT,
  O_EXCL,
  O_RDONLY,
  O_TMPFILE,
  O_TRUNC,
  O_WRONLY,
  openFile,
  readFd,
  writeFd,
} from './files.ts';
import { cString } from './memory.ts';

/**
 * Small files for programs that must start quickly: node:fs takes Bun longer to load (1.4 of 5 ms) than all of this does to
 * run. Failures are SystemErrors, which look like those of node:fs.
 */
const CHUNK = 4096;

export function readTextFile(path: string): string {
  const fd = openFile(path, O_RDONLY);
  try {
    return new TextDecoder().decode(readToEnd(fd));
  } finally {
    closeFd(fd);
  }
}

export function readToEnd(fd: Fd): Uint8Array {
  let bytes = new Uint8Array(CHUNK);
  let length = 0;
  for (;;) {
    const count = readFd(fd, bytes.subarray(length));
    if (count === 0) return bytes.subarray(0, length);
    length += count;
    if (length < bytes.length) continue;
    const larger = new Uint8Array(2 * bytes.length);
    larger.set(bytes);
    bytes = larger;
  }
}

/** Writes all of the text; the file is what `flags` (O_CREAT, O_EXCL, ...) make it. */
export function writeTextFile(path: string, text: string, flags = O_TRUNC, mode = 0o644): void {
  const fd = openFile(path, O_WRONLY | flags, mode);
  try {
    writeAll(fd, new TextEncoder().encode(text));
  } finally {
    closeFd(fd);
  }
}

export function writeAll(fd: Fd, bytes: Uint8Array): void {
  for (let rest = bytes; rest.length > 0; ) rest = rest.subarray(writeFd(fd, rest));
}

/** Whether files can be made and written in a directory, found out by doing it; the file never has a name. */
export function probeWritable(directory: string): void {
  const fd = openFile(directory, O_WRONLY | O_TMPFILE, 0o600);
  try {
    writeAll(fd, new Uint8Array(CHUNK));
  } finally {
    closeFd(fd);
  }
}

export function unlinkFile(path: string): void {
  const name = cString(path);
  checked(libc.unlink(name), 'unlink', () => `remove "${path}"`);
}

/** Atomic: `to` is the old file or the new one at every moment. */
export function renameFile(from: string, to: string): void {
  const [source, target] = [cString(from), cString(to)];
  checked(libc.rename(source, target), 'rename', () => `rename "${from}" to "${to}"`);
}

/**
 * A new file that has its name only when all of the text is in it; EEXIST if there is one. A program that is killed meanwhile leaves
 * nothing behind. (Where the file system knows no files without a name, as NFS, it may leave an empty file.)
 */
export function writeNewFile(path: string, text: string, mode: number): void {
  const directory = path.slice(0, path.lastIndexOf('/')) || '/';
  let fd: Fd;
  try {
    fd = openFile(directory, O_WRONLY | O_TMPFILE, mode);
  } catch (error) {
    if (!isErrno(error, 'EOPNOTSUPP', 'EISDIR', 'EINVAL')) throw error;
    writeTextFile(path, text, O_CREAT | O_EXCL, mode);
    return;
  }
  try {
    writeAll(fd, new TextEncoder().encode(text));
    const [source, target] = [cString(`/proc/self/fd/${fd}`), cString(path)];
    checked(libc.linkat(AT_FDCWD, source, AT_FDCWD, target, AT_SYMLINK_FOLLOW), 'link', () => `create "${path}"`);
  } finally {
    closeFd(fd);
  }
}

export function makeDirectory(path: string, mode: number): void {
  const name = cString(path);
  checked(libc.mkdir(name, mode), 'mkdir', () => `make the directory "${path}"`);
}

export interface FileStatus {
  readonly device: string;
  readonly inode: bigint;
  /** The user's number. */
  readonly owner: number;
  /** S_IFMT and permissions. */
  readonly mode: number;
  readonly size: bigint;
}

const AT_FDCWD = -100; // linux/fcntl.h
const AT_SYMLINK_FOLLOW = 0x400; // linux/fcntl.h
const AT_EMPTY_PATH = 0x1000; // linux/fcntl.h
const STATX_BASIC_STATS = 0x7ff; // linux/stat.h
const STATX_BYTES = 256;
const S_IFMT = 0o170000;

/** `stat(2)` of a path, links followed, or of a descriptor. */
export function statFile(target: string | Fd): FileStatus {
  const buffer = new Uint8Array(STATX_BYTES);
  const [directory, name, flags] =
    typeof target === 'string' ? [AT_FDCWD, cString(target), 0] : [target, cString(''), AT_EMPTY_PATH];
  checked(libc.statx(directory, name, flags, STATX_BASIC_STATS, buffer), 'stat', () => `look at ${describe(target)}`);
  // struct statx, linux/stat.h: the same on every architecture.
  const view = new DataView(buffer.buffer);
  return {
    owner: view.getUint32(20, true),
    mode: view.getUint16(28, true),
    inode: view.getBigUint64(32, true),
    size: view.getBigUint64(40, true),
    device: `${view.getUint32(136, true)}:${view.getUint32(140, true)}`,
  };
}

/** What no name can be given to is not there either. */
export function isPresent(path: string): boolean {
  try {
    statFile(path);
    return true;
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENAMETOOLONG', 'ENOTDIR')) return false;
    throw error;
  }
}

export function isDirectory(status: FileStatus): boolean {
  return (status.mode & S_IFMT) === 0o040000;
}

export function isExecutableFile(status: FileStatus): boolean {
  return (status.mode & S_IFMT) === 0o100000 && (status.mode & 0o111) !== 0;
}

export function sameFile(a: FileStatus, b: FileStatus): boolean {
  return a.inode === b.inode && a.device === b.device;
}

function describe(target: string | Fd): string {
  return typeof target === 'string' ? `"${target}"` : `descriptor ${target}`;
}
