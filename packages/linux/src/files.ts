import { EINTR } from './errno.ts';
import { checked, uninterrupted } from './errors.ts';
import { errno, libc } from './ffi/libc.ts';
import { cString, pointer } from './memory.ts';

/** A file descriptor. The caller that opened it closes it. */
export type Fd = number;

// asm-generic/fcntl.h, as on x86-64
export const O_RDONLY = 0;
export const O_WRONLY = 1;
export const O_RDWR = 2;
export const O_CREAT = 0o100;
export const O_EXCL = 0o200;
export const O_TRUNC = 0o1000;
export const O_APPEND = 0o2000;
export const O_NONBLOCK = 0o4000;
export const O_DIRECTORY = process.arch === 'arm64' ? 0o40000 : 0o200000; // asm/fcntl.h of arm64 swaps these two
export const O_NOFOLLOW = process.arch === 'arm64' ? 0o100000 : 0o400000;
export const O_CLOEXEC = 0o2000000;
/** A file without a name, in the directory that is opened. */
export const O_TMPFILE = 0o20000000 | O_DIRECTORY;

const F_GETFD = 1;
const F_SETFD = 2;
const F_GETFL = 3;
const F_SETFL = 4;
const FD_CLOEXEC = 1;

// asm-generic/fcntl.h
export const LOCK_SH = 1;
export const LOCK_EX = 2;
export const LOCK_NB = 4;
export const LOCK_UN = 8;

/** Opens `path`; O_CLOEXEC is always added, because a descriptor must not leak into plugins and helpers. */
export function openFile(path: string, flags: number, mode = 0): Fd {
  const name = cString(path);
  return checked(
    uninterrupted(() => libc.open(name, flags | O_CLOEXEC, mode)),
    'open',
    () => `open "${path}"`,
  );
}

/** Closes `fd`. EINTR counts as closed: Linux has freed the number by then, and a second close could hit another's file. */
export function closeFd(fd: Fd): void {
  if (libc.close(fd) === -1 && errno() !== -EINTR) checked(-1, 'close', `close descriptor ${fd}`);
}

/** Reads once into `buffer` and returns the number of bytes; 0 is the end. */
export function readFd(fd: Fd, buffer: Uint8Array): number {
  return checked(
    uninterrupted(() => libc.read(fd, pointer(buffer), buffer.length)),
    'read',
    () => `read from descriptor ${fd}`,
  );
}

/** Writes once from `buffer` and returns the number of bytes taken. */
export function writeFd(fd: Fd, buffer: Uint8Array): number {
  return checked(
    uninterrupted(() => libc.write(fd, pointer(buffer), buffer.length)),
    'write',
    () => `write ${buffer.length} bytes to descriptor ${fd}`,
  );
}

/** Reads once at `offset`, which the descriptor's own place does not follow. */
export function pread(fd: Fd, buffer: Uint8Array, offset: number): number {
  return checked(
    uninterrupted(() => libc.pread(fd, buffer, buffer.length, offset)),
    'read',
    () => `read from descriptor ${fd}`,
  );
}

/** Writes once at `offset`. */
export function pwrite(fd: Fd, buffer: Uint8Array, offset: number): number {
  return checked(
    uninterrupted(() => libc.pwrite(fd, buffer, buffer.length, offset)),
    'write',
    () => `write ${buffer.length} bytes to descriptor ${fd}`,
  );
}

/** `read(2)` for loops: bytes read, or a negative errno (EAGAIN -11). Nothing is allocated or thrown. */
export function tryRead(fd: Fd, buffer: Uint8Array, length = buffer.length): number {
  const result = libc.read(fd, buffer, length);
  return result < 0 ? -errno() : result;
}

/** `write(2)` for loops: bytes written, or a negative errno. */
export function tryWrite(fd: Fd, buffer: Uint8Array, length = buffer.length): number {
  const result = libc.write(fd, buffer, length);
  return result < 0 ? -errno() : result;
}

/** `tryRead` into memory at an address from `addressOf`, which must stay alive. */
export function tryReadAt(fd: Fd, address: number, length: number): number {
  const result = libc.readAt(fd, address, length);
  return result < 0 ? -errno() : result;
}

/** `tryWrite` from memory at an address from `addressOf`. */
export function tryWriteAt(fd: Fd, address: number, length: number): number {
  const result = libc.writeAt(fd, address, length);
  return result < 0 ? -errno() : result;
}

/** `readv(2)` into `count` iovecs (layouts.ts) at `iovecs`: bytes read, or a negative errno. */
export function tryReadv(fd: Fd, iovecs: number, count: number): number {
  const result = libc.readv(fd, iovecs, count);
  return result < 0 ? -errno() : result;
}

/** `writev(2)` from `count` iovecs at `iovecs`: bytes written, or a negative errno. */
export function tryWritev(fd: Fd, iovecs: number, count: number): number {
  const result = libc.writev(fd, iovecs, count);
  return result < 0 ? -errno() : result;
}

/** `ioctl(2)` with the bytes of a structure, which the kernel may fill in, or with a plain number. */
export function ioctl(fd: Fd, request: number, argument: Uint8Array | number): number {
  const result =
    typeof argument === 'number' ? libc.ioctlValue(fd, request, argument) : libc.ioctl(fd, request, argument);
  return checked(result, 'ioctl', () => `do ioctl 0x${request.toString(16)} on descriptor ${fd}`);
}

export function setNonblocking(fd: Fd, on: boolean): void {
  const flags = checked(libc.fcntl(fd, F_GETFL, 0), 'fcntl', `read the flags of descriptor ${fd}`);
  const wanted = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
  checked(libc.fcntl(fd, F_SETFL, wanted), 'fcntl', `set the flags of descriptor ${fd}`);
}

/** Whether a child process keeps `fd` across exec. */
export function setInheritable(fd: Fd, on: boolean): void {
  const flags = checked(libc.fcntl(fd, F_GETFD, 0), 'fcntl', `read the flags of descriptor ${fd}`);
  const wanted = on ? flags & ~FD_CLOEXEC : flags | FD_CLOEXEC;
  checked(libc.fcntl(fd, F_SETFD, wanted), 'fcntl', `set the flags of descriptor ${fd}`);
}

/** Takes or releases an advisory lock, at once or however long it takes; for a limit, flock-within.ts. With LOCK_NB a lock held elsewhere is a SystemError with code EAGAIN. */
export function flock(fd: Fd, operation: number): void {
  checked(
    uninterrupted(() => libc.flock(fd, operation)),
    'flock',
    () => `lock descriptor ${fd}`,
  );
}
