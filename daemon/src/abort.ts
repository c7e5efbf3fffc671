/** Waiting that an AbortSignal ends. Every loop of the daemon waits through these, so every loop has an end. */

import { setMaxListeners } from 'node:events';

/** Resolves after `ms` or as soon as the signal aborts; never rejects: the caller's loop looks at the signal. */
export function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done, { once: true });
  });
}

/** A doorbell: `ring()` ends the present or the next wait. Rings between two waits count as one. */
export class Bell {
  private rung = false;
  private wake: (() => void) | undefined;

  ring(): void {
    this.rung = true;
    this.wake?.();
  }

  /** Ends at a ring, after `ms`, or with the signal; resolves with whether it rang. For one who waits at a time. */
  async wait(ms: number, signal: AbortSignal): Promise<boolean> {
    if (!this.rung && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const done = () => {
          clearTimeout(timer);
          signal.removeEventListener('abort', done);
          this.wake = undefined;
          resolve();
        };
        const timer = setTimeout(done, ms);
        signal.addEventListener('abort', done, { once: true });
        this.wake = done;
      });
    }
    const { rung } = this;
    this.rung = false;
    return rung;
  }
}

/** Delays 1, 2, 4, ... times `first` up to `most`, each with up to a quarter taken off by `random` so that nodes do not march in step. */
export class Backoff {
  private next: number;

  constructor(
    private readonly first: number,
    private readonly most: number,
    private readonly random: () => number = Math.random,
  ) {
    this.next = first;
  }

  take(): number {
    const delay = this.next;
    this.next = Math.min(this.next * 2, this.most);
    return Math.round(delay * (1 - this.random() / 4));
  }

  reset(): void {
    this.next = this.first;
  }
}

/** The signal of a group of tasks: aborts with its parent, or by itself. `dispose()` lets go of the parent. */
export function childSignal(parent: AbortSignal): { signal: AbortSignal; abort: () => void; dispose: () => void } {
  const controller = new AbortController();
  setMaxListeners(0, controller.signal); // one for each task that waits
  const abort = () => controller.abort();
  if (parent.aborted) abort();
  else parent.addEventListener('abort', abort, { once: true });
  return { signal: controller.signal, abort, dispose: () => parent.removeEventListener('abort', abort) };
}
