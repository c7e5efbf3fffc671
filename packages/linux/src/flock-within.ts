/**
 * flock(2) with a limit. The kernel serves those who wait in it in their order; who tries again from time to time instead
 * may never get a lock that others queue for.
 */
import { EINTR, ERRNO } from './errno.ts';
import { checked } from './errors.ts';
import { errno, libc } from './ffi/libc.ts';
import { type Fd, LOCK_NB } from './files.ts';
import { cString } from './memory.ts';

const SIGALRM = 14; // asm-generic/signal.h
const ITIMER_REAL = 0; // linux/time.h
/** struct sigaction of glibc and musl: handler, a mask of 1024 bits, flags, restorer. */
const SIGACTION_BYTES = 152;
const RTLD_DEFAULT = 0;
/** The first alarm may come just before the call that it is to interrupt. */
const REPEAT_MS = 50;

/** Whether the lock was got within `ms`. Blocks the thread, which has to be the process's first one: signals go there. */
export function flockWithin(fd: Fd, operation: number, ms: number): boolean {
  if (libc.flock(fd, operation | LOCK_NB) === 0) return true;
  if (errno() !== ERRNO.EAGAIN) checked(-1, 'flock', () => `lock descriptor ${fd}`);
  const end = performance.now() + ms;
  return withAlarms(ms, () => {
    for (;;) {
      if (libc.flock(fd, operation) === 0) return true;
      if (errno() !== -EINTR) checked(-1, 'flock', () => `lock descriptor ${fd}`);
      if (performance.now() >= end) return false;
    }
  });
}

/** SIGALRM is the only way to end a blocking call after a time; it must have a handler, or it ends the process. */
function withAlarms<T>(ms: number, work: () => T): T {
  const action = new Uint8Array(SIGACTION_BYTES);
  // A function of libc that does nothing with its one argument: no code of the runtime runs in a signal handler.
  const handler = libc.dlsym(RTLD_DEFAULT, cString('abs'));
  new DataView(action.buffer).setBigUint64(0, BigInt(handler), true);
  const before = new Uint8Array(SIGACTION_BYTES);
  checked(libc.sigaction(SIGALRM, action, before), 'sigaction', 'handle SIGALRM');
  try {
    checked(
      libc.setitimer(ITIMER_REAL, timer(Math.max(Math.ceil(ms), 1), REPEAT_MS), null),
      'setitimer',
      'set an alarm',
    );
    return work();
  } finally {
    libc.setitimer(ITIMER_REAL, timer(0, 0), null);
    libc.sigaction(SIGALRM, before, null);
  }
}

/** struct itimerval { struct timeval it_interval, it_value; }, of whole milliseconds */
function timer(firstMs: number, repeatMs: number): Uint8Array {
  const words = [repeatMs, firstMs].flatMap((ms) => [Math.floor(ms / 1000), (ms % 1000) * 1000]);
  return new Uint8Array(BigInt64Array.from(words, BigInt).buffer);
}
