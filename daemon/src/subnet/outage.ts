import type { Logger } from 'pino';
import { messageOf } from '../errors.ts';
import { Repeats } from '../repeats.ts';
import { monotonicNow } from './clock.ts';

/**
 * From one line of a lost watch to the next. The first says how the stream ended, the second why there is no new one; the three
 * watches of a node are lost together, and a line for each cause would be one for each of them.
 */
const LOST_AGAIN_MS: readonly number[] = [60_000, 6 * 3_600_000];

/** Logs an outage when it begins, rarely while it lasts, and when it is over. */
export class Outage {
  private readonly waiting = new Repeats([]);
  private readonly lost = new Repeats(LOST_AGAIN_MS, 1);
  /** Whether there was a list before. */
  known = false;

  constructor(
    /** Of config and leases. */
    private readonly source: string,
    private readonly log: Logger,
    /** What is watched. */
    private readonly key: string,
    private readonly waitingFor: string,
  ) {}

  begin(error: unknown): void {
    const [repeats, what] = this.known
      ? [this.lost, `Lost the watch on ${this.source}, trying again; what is known stays in force`]
      : [this.waiting, `Waiting for ${this.waitingFor}`];
    const line = repeats.failed(`${what}: ${messageOf(error)}`, monotonicNow());
    if (line !== undefined) this.log.warn({ key: this.key }, line);
  }

  over(): void {
    for (const repeats of [this.waiting, this.lost]) {
      const over = repeats.over(monotonicNow());
      if (over !== undefined) this.log.info({ key: this.key }, `The watch on ${this.source} is back ${over}`);
    }
  }
}
