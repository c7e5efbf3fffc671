import { readFileSync } from 'node:fs';
import { isErrno } from './errors.ts';
import { libc } from './ffi/libc.ts';

/**
 * When a process was started, in clock ticks since boot (field 22 of /proc/PID/stat); undefined for a process that does not exist. With
 * the pid it names a process for good: pids are used again.
 */
export function processStartTime(pid: number): string | undefined {
  const fields = statFields(pid);
  return fields?.state === 'Z' ? undefined : fields?.startTime;
}

/** Whether the process with this pid still is the one that was started then. A zombie is not alive. */
export function isProcessAlive(pid: number, startTime: string): boolean {
  return processStartTime(pid) === startTime;
}

/**
 * `_exit(2)`: ends the process at once, without exit handlers. process.exit() waits for worker threads, and one that is stuck
 * in a system call never comes.
 */
export function exitNow(code: number): never {
  libc.exitNow(code);
  throw new Error('_exit() returned');
}

/** The command name in field 2 may itself hold spaces and parentheses: count from its last one (proc_pid_stat(5)). */
function statFields(pid: number): { state: string; startTime: string } | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ESRCH')) return undefined;
    throw error;
  }
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return { state: fields[0]!, startTime: fields[19]! };
}
