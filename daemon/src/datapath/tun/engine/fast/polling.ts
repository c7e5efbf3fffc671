/** Credit for a gap within the window, and loss for a window without packets: with requests and answers every second gap is short. */
const GAIN = 2;
const LOSS = 1;
/** Windows without packets after which the thread sleeps at once again. */
const MOST_CREDIT = 8;
/**
 * Milliseconds between two polls. Threads that answer each other yield the processor sooner; one that computes keeps it for a time
 * slice (2.8 ms), but is preempted for a thread that a packet wakes.
 */
const MOST_PAUSE = 1;
/** After a longer pause the thread does not poll for this many times its length: at most a tenth of its time is lost that way. */
const REST = 10;

/**
 * How long a thread without packets polls before it sleeps. Waking it costs more than the packet itself on an idle processor. It
 * polls only while that pays, judged by the gaps between packets so far, as KVM's halt polling does
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

  /** Whether to poll again rather than sleep. */
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
