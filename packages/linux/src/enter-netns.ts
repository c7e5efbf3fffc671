import { checked } from './errors.ts';
import { errno, libc } from './ffi/libc.ts';
import { closeFd, O_RDONLY, openFile } from './files.ts';

export const CLONE_NEWNET = 0x40000000; // linux/sched.h

/** In a thread, /proc/self is the main thread: only this names the caller's own namespace. */
export const OWN_NETNS = '/proc/thread-self/ns/net';

/**
 * Runs `fn` with this thread in the network namespace at `path`: sockets it opens and /proc/sys/net it reads are that
 * namespace's. `fn` must be synchronous; work it hands to the thread pool (fs.promises, dns) or to the event loop runs
 * outside. If the way back fails the process is aborted, because everything after it would act on the wrong namespace.
 */
export function withNetns<T>(path: string, fn: () => T extends PromiseLike<unknown> ? never : T): T {
  const target = openFile(path, O_RDONLY);
  try {
    return returning(() => {
      checked(libc.setns(target, CLONE_NEWNET), 'setns', `enter the network namespace "${path}"`);
      return fn() as T;
    });
  } finally {
    closeFd(target);
  }
}

/** Runs `fn`, which moves this thread into another namespace, and brings the thread back. */
export function returning<T>(fn: () => T): T {
  const own = openFile(OWN_NETNS, O_RDONLY);
  try {
    return fn();
  } finally {
    if (libc.setns(own, CLONE_NEWNET) === -1) {
      process.stderr.write(`Cannot return to the own network namespace (errno ${errno()}), aborting\n`);
      process.abort();
    }
    closeFd(own);
  }
}
