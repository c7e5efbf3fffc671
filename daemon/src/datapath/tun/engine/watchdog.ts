/** Notices that a counter which its owner should increment has stopped. Called at each tick of the caller's timer. */
export class Watchdog {
  #last: number;
  #silent = 0;

  constructor(
    first: number,
    /** Ticks without an increment after which the owner counts as stuck. */
    readonly limit: number,
  ) {
    this.#last = first;
  }

  /** Whether the counter has stood still for too long. */
  observe(count: number): boolean {
    this.#silent = count === this.#last ? this.#silent + 1 : 0;
    this.#last = count;
    return this.#silent >= this.limit;
  }
}
