import { readFileSync, readlinkSync } from 'node:fs';
import { libc } from './ffi/libc.ts';

const MADV_DONTNEED = 4; // asm-generic/mman-common.h

interface Mapping {
  readonly start: number;
  readonly end: number;
}

/**
 * Removes the machine code and the constants of this program from its resident memory: a runtime has tens of megabytes of them, the
 * kernel maps 64 KB around each byte that is used, and much is used only at the start. What is needed comes back from the page cache
 * at its next use.
 */
export function releaseOwnPages(): void {
  // Hard to fail in a way that matters: at worst the pages stay.
  const program = readlinkSync('/proc/self/exe');
  for (const { start, end } of cleanMappings(readFileSync('/proc/self/smaps', 'utf8'), program)) {
    libc.madvise(start, end - start, MADV_DONTNEED);
  }
}

/** Mappings of `program` that can be read again from its file: not writable, and no page of them was ever changed. */
export function cleanMappings(smaps: string, program: string): Mapping[] {
  const found: Mapping[] = [];
  for (const block of smaps.split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m)) {
    const head = /^([0-9a-f]+)-([0-9a-f]+) r-[x-]p \S+ \S+ \S+ +(.*)$/m.exec(block);
    if (head === null || head[3] !== program) continue;
    // A linker that relocates constants changes pages before they become read-only; changed ones may be in the swap space.
    if (!/^Anonymous: +0 kB$/m.test(block) || !/^Swap: +0 kB$/m.test(block)) continue;
    found.push({ start: Number.parseInt(head[1]!, 16), end: Number.parseInt(head[2]!, 16) });
  }
  return found;
}
