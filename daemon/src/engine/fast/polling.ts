/** What a gap within the window gains, and what a window without packets loses: requests and their answers make every second gap short. */
const GAIN = 2;
const LOSS = 1;
/** Windows in vain at most before the thread sleeps at once again. */
const MOST_CREDIT = 8;

/**
 * How long a thread that found no packets goes on looking before it sleeps, which costs a wake-up: on an idle processor more than
 * the packet itself. It looks only as long as that pays, judged by the gaps between packets so far, as KVM's halt polling does
 * (Documentation/virt/guest-halt-polling.rst). All times in milliseconds.
 */
export class Polling {
  #credit = 0;
  #last = Number.NEGATIVE_INFINITY;
  #until = 0;

  constructor(readonly windowMs: number) {}

  /** Packets came. */
  moved(now: number): void {
    if (this.windowMs === 0) return;
    if (now - this.#last < this.windowMs) this.#credit = Math.min(this.#credit + GAIN, MOST_CREDIT);
    this.#last = now;
    this.#until = this.#credit > 0 ? now + this.windowMs : 0;
  }

  /** Whether to look again rather than sleep. */
  goesOn(now: () => number): boolean {
    if (this.#until === 0) return false;
    if (now() < this.#until) return true;
    this.#until = 0;
    this.#credit -= LOSS;
    return false;
  }
}
