/** Tells from a counter that should move whether its owner still does; once per tick of the caller's timer. */
export class Watchdog {
  #last: number;
  #silent = 0;

  constructor(
    first: number,
    /** Ticks without a move that are one too many. */
    readonly limit: number,
  ) {
    this.#last = first;
  }

  /** Whether the counter has not moved for too long. */
  observe(count: number): boolean {
    this.#silent = count === this.#last ? this.#silent + 1 : 0;
    this.#last = count;
    return this.#silent >= this.limit;
  }
}
