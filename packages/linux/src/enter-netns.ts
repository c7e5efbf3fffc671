import { checked } from './errors.ts';
import { errno, libc } from './ffi/libc.ts';
import { closeFd, type Fd, O_RDONLY, openFile } from './files.ts';

export const CLONE_NEWNET = 0x40000000; // linux/sched.h

/** In a thread, /proc/self is the main thread: only this names the caller's own namespace. */
export const OWN_NETNS = '/proc/thread-self/ns/net';

/**
 * Runs `fn` with this thread in the network namespace at a path or of an open descriptor, which stays open: sockets it opens and
 * /proc/sys/net it reads are that namespace's. `fn` must be synchronous; work it hands to the thread pool (fs.promises, dns) or to the event loop runs
 * outside. If the way back fails the process is aborted, because everything after it would act on the wrong namespace.
 */
export function withNetns<T>(netns: string | Fd, fn: () => T extends PromiseLike<unknown> ? never : T): T {
  return withNetnsFd(netns, (target) =>
    returning(() => {
      const name = typeof netns === 'number' ? `of descriptor ${netns}` : `"${netns}"`;
      checked(libc.setns(target, CLONE_NEWNET), 'setns', `enter the network namespace ${name}`);
      return fn() as T;
    }),
  );
}

/** Runs `use` with a descriptor of the namespace: the given one, or one opened for that time. */
export function withNetnsFd<T>(netns: string | Fd, use: (fd: Fd) => T): T {
  if (typeof netns === 'number') return use(netns);
  const fd = openFile(netns, O_RDONLY);
  try {
    return use(fd);
  } finally {
    closeFd(fd);
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
