import { readTextFile, writeTextFile } from './text-files.ts';

/**
 * A kernel parameter by its path below /proc/sys, as `net/ipv4/ip_forward`, without the final line feed. Those below net/
 * belong to the calling thread's network namespace: read or write another's inside `withNetns`.
 */
export function readSysctl(name: string): string {
  return readTextFile(`/proc/sys/${name}`).trimEnd();
}

/** Sets a kernel parameter; true when that changed something. */
export function writeSysctl(name: string, value: string | number): boolean {
  if (readSysctl(name) === String(value)) return false;
  writeTextFile(`/proc/sys/${name}`, `${value}\n`, 0);
  return true;
}
