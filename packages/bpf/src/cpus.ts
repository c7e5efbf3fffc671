import { readFileSync } from 'node:fs';

let known: number | undefined;

/** Processors that may ever be there: so many values has each key of a per-CPU map. */
export function possibleCpus(): number {
  known ??= countCpus(readFileSync('/sys/devices/system/cpu/possible', 'utf8'));
  return known;
}

/** `0-3,8` -> 9: the kernel numbers values up to the last one. */
export function countCpus(list: string): number {
  return Math.max(...list.trim().split(/[,-]/).map(Number)) + 1;
}
