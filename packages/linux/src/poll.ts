import { EAGAIN, EINTR } from './errno.ts';
import { checked, uninterrupted } from './errors.ts';
import { errno, libc } from './ffi/libc.ts';
import { closeFd, type Fd } from './files.ts';

// asm-generic/poll.h
export const POLLIN = 0x001;
export const POLLPRI = 0x002;
export const POLLOUT = 0x004;
export const POLLERR = 0x008;
export const POLLHUP = 0x010;
export const POLLNVAL = 0x020;

/**
 * A fixed set of descriptors to wait on: `struct pollfd {int fd; short events; short revents;}` in one buffer. Waiting
 * allocates nothing.
 *
 * A thread blocked here holds the whole process at its exit, so a worker's set needs an eventfd and a finite timeout.
 */
export class PollSet {
  readonly #bytes: Uint8Array;
  readonly #words: Int32Array;
  readonly #length: number;

  constructor(entries: readonly { readonly fd: Fd; readonly events: number }[]) {
    this.#length = entries.length;
    this.#words = new Int32Array(entries.length * 2);
    this.#bytes = new Uint8Array(this.#words.buffer);
    for (const [index, { fd, events }] of entries.entries()) {
      this.#words[index * 2] = fd;
      this.#words[index * 2 + 1] = events;
    }
  }

  /** Waits until a descriptor is ready or `timeoutMs` passed (-1: no limit). The number ready; 0 also after a signal. */
  wait(timeoutMs: number): number {
    const result = libc.poll(this.#bytes, this.#length, timeoutMs);
    if (result >= 0) return result;
    if (errno() === -EINTR) return 0;
    return checked(result, 'poll', 'wait for descriptors');
  }

  /** What the entry at `index` was found ready for by the last wait (POLLIN, POLLERR, ...); little-endian layout. */
  ready(index: number): number {
    return this.#words[index * 2 + 1]! >>> 16;
  }

  /** Waits for other events from now on; a negative `fd` makes the kernel skip the entry. */
  change(index: number, fd: Fd, events: number): void {
    this.#words[index * 2] = fd;
    this.#words[index * 2 + 1] = events;
  }
}

/** Waits once on a few descriptors, for callers outside of loops. Returns their ready events in the same order. */
export function pollFds(entries: readonly { readonly fd: Fd; readonly events: number }[], timeoutMs: number): number[] {
  const set = new PollSet(entries);
  set.wait(timeoutMs);
  return entries.map((_, index) => set.ready(index));
}

const EFD_NONBLOCK = 0o4000;
const EFD_CLOEXEC = 0o2000000;

/** A counter in the kernel that wakes whoever polls its descriptor; any thread may signal by its number. */
export interface EventFd {
  readonly fd: Fd;
  signal(): void;
  /** Resets the counter; false when nobody had signalled. */
  drain(): boolean;
  close(): void;
}

export function eventfd(): EventFd {
  const fd = checked(libc.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), 'eventfd', 'create an event descriptor');
  return eventFdOf(fd);
}

/** The same event descriptor in another thread, which got its number. Only one side closes it. */
export function eventFdOf(fd: Fd): EventFd {
  const one = new Uint8Array(new BigUint64Array([1n]).buffer);
  const value = new Uint8Array(8);
  return {
    fd,
    signal() {
      // EAGAIN: the counter is full, so it is signalled already.
      const result = uninterrupted(() => libc.write(fd, one, 8));
      if (result < 0 && errno() !== -EAGAIN) checked(result, 'write', `signal event descriptor ${fd}`);
    },
    drain: () => libc.read(fd, value, 8) === 8,
    close: () => closeFd(fd),
  };
}
