/** What a gap within the window gains, and what a window without packets loses: requests and their answers make every second gap short. */
const GAIN = 2;
const LOSS = 1;
/** Windows in vain at most before the thread sleeps at once again. */
const MOST_CREDIT = 8;
/**
 * Milliseconds between two looks. Threads that answer each other give the processor back sooner; one that computes keeps it for a
 * slice of the scheduler's (2.8 ms), and gives it sooner to a thread that a packet wakes than to one that looks for packets.
 */
const MOST_PAUSE = 1;
/** How many times as long as such a pause the thread then does not look: a tenth of its time at most is lost so. */
const REST = 10;

/**
 * How long a thread that found no packets goes on looking before it sleeps, which costs a wake-up: on an idle processor more than
 * the packet itself. It looks only as long as that pays, judged by the gaps between packets so far, as KVM's halt polling does
 * (Documentation/virt/guest-halt-polling.rst). All times in milliseconds.
 */
export class Polling {
  #credit = 0;
  #last = Number.NEGATIVE_INFINITY;
  #until = 0;
  #looked = 0;
  #restUntil = 0;

  constructor(readonly windowMs: number) {}

  /** Packets came. */
  moved(now: number): void {
    if (this.windowMs === 0) return;
    if (now - this.#last < this.windowMs) this.#credit = Math.min(this.#credit + GAIN, MOST_CREDIT);
    this.#last = now;
    this.#looked = now;
    this.#until = this.#credit > 0 && now >= this.#restUntil ? now + this.windowMs : 0;
  }

  /** Whether to look again rather than sleep. */
  goesOn(now: () => number): boolean {
    if (this.#until === 0) return false;
    const time = now();
    const pause = time - this.#looked;
    if (pause > MOST_PAUSE) this.#restUntil = time + REST * pause;
    else if (time < this.#until) {
      this.#looked = time;
      return true;
    }
    this.#until = 0;
    this.#credit -= LOSS;
    return false;
  }
}
