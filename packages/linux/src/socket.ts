import { checked, uninterrupted } from './errors.ts';
import { errno, libc } from './ffi/libc.ts';
import type { Fd } from './files.ts';
import { addressOf, pointer } from './memory.ts';
import {
  SK_MEMINFO_DROPS,
  SK_MEMINFO_VARS,
  SO_ATTACH_FILTER,
  SO_MEMINFO,
  SO_PEERCRED,
  SOCK_CLOEXEC,
  SOL_SOCKET,
} from './socket-constants.ts';

export * from './sockaddr.ts';
export * from './socket-constants.ts';

/** Creates a socket; SOCK_CLOEXEC is always added. It stays in the network namespace it was created in. */
export function socket(domain: number, type: number, protocol = 0): Fd {
  return checked(
    libc.socket(domain, type | SOCK_CLOEXEC, protocol),
    'socket',
    `create a socket (domain ${domain}, type ${type}, protocol ${protocol})`,
  );
}

export function bind(fd: Fd, sockaddr: Uint8Array): void {
  checked(libc.bind(fd, sockaddr, sockaddr.length), 'bind', () => `bind socket ${fd}`);
}

export function connect(fd: Fd, sockaddr: Uint8Array): void {
  checked(libc.connect(fd, sockaddr, sockaddr.length), 'connect', () => `connect socket ${fd}`);
}

export function listen(fd: Fd, backlog = 128): void {
  checked(libc.listen(fd, backlog), 'listen', () => `listen on socket ${fd}`);
}

/** Accepts the next connection of a listening socket; SOCK_CLOEXEC is always added. */
export function accept(fd: Fd, flags = 0): Fd {
  return checked(
    uninterrupted(() => libc.accept4(fd, null, null, flags | SOCK_CLOEXEC)),
    'accept4',
    () => `accept a connection on socket ${fd}`,
  );
}

/** `shutdown(2)`; it also wakes a thread blocked in a receive, though it answers ENOTCONN on unconnected sockets. */
export function shutdownSocket(fd: Fd, how: number): void {
  checked(libc.shutdown(fd, how), 'shutdown', () => `shut down socket ${fd}`);
}

/** The socket's own address as raw sockaddr bytes, of the length the kernel gave. */
export function getSockName(fd: Fd): Uint8Array {
  const sockaddr = new Uint8Array(128); // struct sockaddr_storage
  const length = new Uint32Array([sockaddr.length]);
  checked(
    libc.getsockname(fd, sockaddr, new Uint8Array(length.buffer)),
    'getsockname',
    () => `read the address of socket ${fd}`,
  );
  return sockaddr.subarray(0, length[0]);
}

/** Sets an option; a number is passed as C int. */
export function setSocketOption(fd: Fd, level: number, name: number, value: number | Uint8Array): void {
  const bytes = typeof value === 'number' ? new Uint8Array(new Int32Array([value]).buffer) : value;
  checked(
    libc.setsockopt(fd, level, name, pointer(bytes), bytes.length),
    'setsockopt',
    () => `set option ${level}/${name} of socket ${fd} to ${value}`,
  );
}

/** For a socket that is only sent from: the kernel drops whatever arrives, and counts it (socketDrops). */
export function refuseInput(fd: Fd): void {
  // One struct sock_filter of linux/filter.h: BPF_RET | BPF_K with 0, the bytes to be kept.
  const program = new Uint8Array(new Uint16Array([0x06, 0, 0, 0]).buffer);
  // struct sock_fprog: a u16 and, aligned to 8 bytes, a pointer.
  const fprog = new BigUint64Array([1n, BigInt(addressOf(program))]);
  setSocketOption(fd, SOL_SOCKET, SO_ATTACH_FILTER, new Uint8Array(fprog.buffer));
}

/** Reads an option that is a C int. */
export function getSocketOption(fd: Fd, level: number, name: number): number {
  const value = new Int32Array(1);
  const length = new Uint8Array(new Uint32Array([4]).buffer);
  checked(
    libc.getsockopt(fd, level, name, new Uint8Array(value.buffer), length),
    'getsockopt',
    () => `read option ${level}/${name} of socket ${fd}`,
  );
  return value[0]!;
}

/** Who is at the other end of a unix socket, or made it (unix(7)). 0 for a process of a PID namespace that is not ours. */
export function peerOf(fd: Fd): { readonly pid: number; readonly uid: number } {
  const ucred = new Int32Array(3);
  const length = new Uint8Array(new Uint32Array([ucred.byteLength]).buffer);
  checked(
    libc.getsockopt(fd, SOL_SOCKET, SO_PEERCRED, new Uint8Array(ucred.buffer), length),
    'getsockopt',
    () => `ask who is at the other end of socket ${fd}`,
  );
  return { pid: ucred[0]!, uid: ucred[1]! };
}

/**
 * Packets that the kernel dropped at a socket, above all because its receive buffer was full, since it was opened: modulo 2^32.
 * What SO_RXQ_OVFL adds to each message, read without a message.
 */
export function socketDrops(fd: Fd): number {
  const values = new Uint32Array(SK_MEMINFO_VARS);
  const length = new Uint8Array(new Uint32Array([values.byteLength]).buffer);
  checked(
    libc.getsockopt(fd, SOL_SOCKET, SO_MEMINFO, new Uint8Array(values.buffer), length),
    'getsockopt',
    () => `read what socket ${fd} dropped`,
  );
  return values[SK_MEMINFO_DROPS]!;
}

/** Sets SO_RCVTIMEO or SO_SNDTIMEO: a call that waits longer ends with EAGAIN. */
export function setSocketTimeout(fd: Fd, name: number, milliseconds: number): void {
  // struct timeval of 64-bit Linux: seconds and microseconds, 8 bytes each
  const timeval = new BigInt64Array([BigInt(Math.floor(milliseconds / 1000)), BigInt((milliseconds % 1000) * 1000)]);
  setSocketOption(fd, SOL_SOCKET, name, new Uint8Array(timeval.buffer));
}

/** Sends one message, to `sockaddr` or to the connected peer. */
export function sendTo(fd: Fd, buffer: Uint8Array, flags = 0, sockaddr?: Uint8Array): number {
  return checked(
    uninterrupted(() =>
      libc.sendto(fd, pointer(buffer), buffer.length, flags, sockaddr ?? null, sockaddr?.length ?? 0),
    ),
    'sendto',
    () => `send ${buffer.length} bytes on socket ${fd}`,
  );
}

/** Receives one message. With MSG_TRUNC the result is its real length, which may be more than the buffer holds. */
export function recv(fd: Fd, buffer: Uint8Array, flags = 0): number {
  return checked(
    uninterrupted(() => libc.recvfrom(fd, pointer(buffer), buffer.length, flags, null, null)),
    'recvfrom',
    () => `receive on socket ${fd}`,
  );
}

/** Receives one message and its sender's address into `sockaddrOut`. */
export function recvFrom(fd: Fd, buffer: Uint8Array, flags: number, sockaddrOut: Uint8Array): number {
  return checked(
    uninterrupted(() => {
      socklen[0] = sockaddrOut.length;
      return libc.recvfrom(fd, pointer(buffer), buffer.length, flags, sockaddrOut, socklenBytes);
    }),
    'recvfrom',
    () => `receive on socket ${fd}`,
  );
}

/** `socklen_t` that recvfrom reads and writes; calls are synchronous, so one per thread is enough. */
const socklen = new Uint32Array(1);
const socklenBytes = new Uint8Array(socklen.buffer);

// For loops: the number of bytes (or messages), or a negative errno (EAGAIN -11). Nothing is allocated or thrown.

export function tryRecvFrom(fd: Fd, buffer: Uint8Array, flags: number, sockaddrOut: Uint8Array): number {
  socklen[0] = sockaddrOut.length;
  const result = libc.recvfrom(fd, buffer, buffer.length, flags, sockaddrOut, socklenBytes);
  return result < 0 ? -errno() : result;
}

/** Sends the first `length` bytes of `buffer`. */
export function trySendTo(fd: Fd, buffer: Uint8Array, length: number, flags: number, sockaddr: Uint8Array): number {
  const result = libc.sendto(fd, buffer, length, flags, sockaddr, sockaddr.length);
  return result < 0 ? -errno() : result;
}

/** `tryRecvFrom` by addresses; `socklenAddress` holds a u32 that must be set to the sockaddr's size before each call. */
export function tryRecvFromAt(
  fd: Fd,
  address: number,
  length: number,
  flags: number,
  sockaddrAddress: number,
  socklenAddress: number,
): number {
  const result = libc.recvfromAt(fd, address, length, flags, sockaddrAddress, socklenAddress);
  return result < 0 ? -errno() : result;
}

/** `trySendTo` by addresses; a sockaddr of address 0 and length 0 is the connected peer. */
export function trySendToAt(
  fd: Fd,
  address: number,
  length: number,
  flags: number,
  sockaddrAddress: number,
  sockaddrLength: number,
): number {
  const result = libc.sendtoAt(fd, address, length, flags, sockaddrAddress, sockaddrLength);
  return result < 0 ? -errno() : result;
}

/** `sendmsg(2)` with the msghdr (layouts.ts) at an address. */
export function trySendmsg(fd: Fd, msghdr: number, flags: number): number {
  const result = libc.sendmsg(fd, msghdr, flags);
  return result < 0 ? -errno() : result;
}

/** `recvmsg(2)`; msg_namelen and msg_controllen must be set anew before each call. */
export function tryRecvmsg(fd: Fd, msghdr: number, flags: number): number {
  const result = libc.recvmsg(fd, msghdr, flags);
  return result < 0 ? -errno() : result;
}

/** `sendmmsg(2)` with `count` mmsghdrs at an address: the number sent, which may be less. */
export function trySendmmsg(fd: Fd, mmsghdrs: number, count: number, flags: number): number {
  const result = libc.sendmmsg(fd, mmsghdrs, count, flags);
  return result < 0 ? -errno() : result;
}

/** `recvmmsg(2)` without a timeout (the kernel's is only looked at after each message): the number received. */
export function tryRecvmmsg(fd: Fd, mmsghdrs: number, count: number, flags: number): number {
  const result = libc.recvmmsg(fd, mmsghdrs, count, flags, 0);
  return result < 0 ? -errno() : result;
}
