/** The locks of Pulumi's file backend: what pkg/backend/diy/lock.go writes. */
import { readdirSync, readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';

const PROJECT = 'flannel';

export interface Lock {
  readonly pid: number;
  readonly hostname: string;
  readonly username: string;
  readonly timestamp: string;
}

export function readLocks(directory: string, stack: string): Lock[] {
  // Project-scoped since Pulumi 3.61; the file backend has one organization, of that name.
  const place = join(directory, '.pulumi', 'locks', 'organization', PROJECT, stack);
  return listDirectory(place)
    .filter((name) => name.endsWith('.json'))
    .map((name) => readLock(join(place, name)))
    .filter((lock) => lock !== undefined);
}

/**
 * Whether whoever took the lock may still be at it. A process of that number that is no Pulumi, or was started after the
 * lock was taken, is another one.
 */
export function isHeld({ pid, hostname: host, timestamp }: Lock): boolean {
  if (host !== hostname()) return true; // nothing can be known of it here
  try {
    const name = readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
    return name === 'pulumi' && startedAt(pid) <= Date.parse(timestamp);
  } catch {
    return false; // no such process
  }
}

/** In milliseconds since the epoch, rounded down. proc(5): field 22 of stat, in clock ticks (100 a second) since boot. */
function startedAt(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const boot = Number(/^btime (\d+)$/m.exec(readFileSync('/proc/stat', 'utf8'))?.[1]) * 1000;
  return boot + Math.floor(Number(fields[19]) * 10) - 1000; // btime is rounded
}

function readLock(path: string): Lock | undefined {
  try {
    const lock = JSON.parse(readFileSync(path, 'utf8')) as Partial<Lock>;
    return typeof lock.pid === 'number' && typeof lock.hostname === 'string' ? (lock as Lock) : undefined;
  } catch {
    return undefined; // given back meanwhile
  }
}

function listDirectory(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}
