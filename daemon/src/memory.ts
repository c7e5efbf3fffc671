/**
 * Memory that was needed for a moment only, by the start or by many changes of leases at once, goes back to the system: the runtime
 * itself keeps it for long. Collecting stops the control side for some tens of milliseconds; an engine has a thread and a heap of its own.
 */
import { readFileSync } from 'node:fs';
import { releaseOwnPages } from '@flannel-ts/linux/own-pages';
import { sleep } from './abort.ts';

/** The start is over, and what only it needed is no longer in use. */
const SETTLED_MS = 3000;
const LOOK_MS = 5000;
/** Collecting begins when no JavaScript runs. */
const COLLECTING_MS = 200;
/** Between two collections. */
const LEAST_PAUSE_MS = 20_000;
/** Less than this grows and goes by itself. */
const WORTHWHILE_BYTES = 10e6;
/** It grew by less since the last look: what needed memory is over. */
const CALM_BYTES = 1e6;

/** When to collect again. Pure: the memory in use, in bytes, and the clock are given. */
export class Growth {
  private last: number;

  constructor(
    /** After the last collection. */
    private settled: number,
    private collectedAt: number,
  ) {
    this.last = settled;
  }

  /** Asked at every look. */
  isWorthwhile(used: number, now: number): boolean {
    const isCalm = used - this.last < CALM_BYTES;
    this.last = used;
    return isCalm && used - this.settled >= WORTHWHILE_BYTES && now - this.collectedAt >= LEAST_PAUSE_MS;
  }

  collected(used: number, now: number): void {
    this.settled = used;
    this.last = used;
    this.collectedAt = now;
  }
}

/** From the end of the start on. */
export async function keepMemorySmall(signal: AbortSignal): Promise<void> {
  await sleep(SETTLED_MS, signal);
  const growth = new Growth(await collect(signal), performance.now());
  let hasCollected = true;
  while (!signal.aborted) {
    await sleep(LOOK_MS, signal);
    // What runs often was compiled again meanwhile: the compiler is several megabytes of the program.
    if (hasCollected) releaseOwnPages();
    hasCollected = growth.isWorthwhile(ownMemory(), performance.now());
    if (hasCollected) growth.collected(await collect(signal), performance.now());
  }
}

/** Resolves with what is left in use. */
async function collect(signal: AbortSignal): Promise<number> {
  if (signal.aborted) return 0;
  // Compiled code goes as well; what runs often is compiled again.
  (globalThis as { Bun?: { shrink(): void } }).Bun?.shrink();
  await sleep(COLLECTING_MS, signal);
  releaseOwnPages();
  return ownMemory();
}

/** Resident memory without pages of files, in bytes: those come back while the program runs. */
function ownMemory(): number {
  return Number(/^RssAnon:\s*(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? 0) * 1024;
}
