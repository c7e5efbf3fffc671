/**
 * The largest packet that a path carries, found by bisection between what arrived and what did not. Pure: it says which size to
 * send next, and is given the result.
 */

/** Until a size is believed to be lost on the path. */
const LOSSES = 2;
/** The search ends when the limit is known to this many bytes. */
const PRECISION = 8;

export class PathSearch {
  /** The largest size that arrived. */
  private low: number;
  /** The smallest size that did not; above the MTU when there is none. */
  private high: number;
  /** Of `size`, one after the other. */
  private losses = 0;
  /** Whether the next packet is to show that the limit still holds, instead of looking above it. */
  private confirms = false;
  private found: number | undefined;

  constructor(
    private readonly mtu: number,
    /** Passes on every path. */
    private readonly least: number,
  ) {
    this.low = least;
    this.high = mtu + 1;
  }

  /** Undefined: the MTU, or nothing is known yet. During a search it is the limit that was found before. */
  get limit(): number | undefined {
    return this.found;
  }

  get state(): 'unknown' | 'passes' | 'lost' {
    if (this.high <= this.mtu) return 'lost';
    return this.low === this.mtu ? 'passes' : 'unknown';
  }

  /** Whether the next packet should not wait long: it is known that there is a limit, or was one, and not yet where it is. */
  get searching(): boolean {
    return (this.state === 'lost' || this.found !== undefined) && !this.settled;
  }

  /** Of the whole IP packet. */
  get size(): number {
    if (this.high > this.mtu) return this.mtu;
    if (!this.settled) return Math.floor((this.low + this.high) / 2);
    return this.confirms ? this.low : this.high;
  }

  arrived(size: number): void {
    this.losses = 0;
    this.confirms = false;
    if (size > this.low) this.low = size;
    // The path has become wider, by how much is not known.
    if (size >= this.high) this.high = this.mtu + 1;
    this.conclude();
  }

  lost(size: number): void {
    if (size !== this.size || ++this.losses < LOSSES) return;
    this.losses = 0;
    const wasSettled = this.settled;
    // What arrived once does not any more: the path has become narrower.
    if (size <= this.low) this.low = this.least;
    this.high = Math.min(this.high, size);
    this.confirms = wasSettled && !this.confirms;
    this.conclude();
  }

  private get settled(): boolean {
    return this.high - this.low <= PRECISION;
  }

  private conclude(): void {
    if (this.state === 'passes') this.found = undefined;
    else if (this.state === 'lost' && this.settled) this.found = this.low;
  }
}
