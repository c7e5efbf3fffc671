import { libc } from './ffi/libc.ts';
import { cString } from './memory.ts';

const PR_SET_NAME = 15; // linux/prctl.h

/** Names the calling thread for `top -H` and /proc/PID/task/TID/comm; the kernel keeps 15 bytes. */
export function setThreadName(name: string): void {
  libc.prctl(PR_SET_NAME, cString(name), 0, 0, 0);
}

/** Lets the other threads that are ready run on this processor before the calling one continues. */
export function yieldProcessor(): void {
  libc.sched_yield();
}
