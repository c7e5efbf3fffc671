/**
 * Whether this process does the work of its network, or leaves it to another flanneld that takes over: then nothing of it moves but
 * packets, until that one has them as well, or has failed.
 */
import { childSignal, sleep } from './abort.ts';

/** What goes on moving packets while all else is at rest. */
export interface Carrier {
  pause(): Promise<void>;
  resume(): Promise<void>;
}

/** A part that has not come to rest by then waits for somebody who does not answer, as etcd. */
const REST_MS = 1000;

export class Duty {
  /** Of the network that is joined. */
  carrier: Carrier | undefined;
  private turn: ReturnType<typeof childSignal>;
  private rested: (() => void) | undefined;
  private wake: (() => void) | undefined;

  constructor(private readonly process: AbortSignal) {
    this.turn = childSignal(process);
  }

  /** Aborts when another process is to do the work, or when this one ends; another one after resume(). */
  get signal(): AbortSignal {
    return this.turn.signal;
  }

  /** Resolves when nothing but the carrier moves, with whether that is certain. */
  async yield(): Promise<boolean> {
    const waiting = new AbortController();
    const rest = new Promise<boolean>((resolve) => {
      this.rested = () => resolve(true);
    });
    this.turn.abort();
    try {
      return await Promise.race([rest, sleep(REST_MS, waiting.signal).then(() => false)]);
    } finally {
      this.rested = undefined;
      waiting.abort();
    }
  }

  /** For who worked by `turn` and does no more: resolves when it is this process's turn again, or its end. */
  async rest(turn: AbortSignal): Promise<void> {
    if (this.process.aborted || this.signal !== turn) return;
    await new Promise<void>((resolve) => {
      this.wake = resolve;
      this.process.addEventListener('abort', () => resolve(), { once: true });
      this.rested?.();
    });
  }

  resume(): void {
    this.turn.dispose();
    this.turn = childSignal(this.process);
    this.wake?.();
    this.wake = undefined;
  }
}
