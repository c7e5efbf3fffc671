/** Which refused leases are written to the log. "flanneld status -json" lists all, so that leases that come and go need not fill it. */
import type { RefusedLease } from './backend/backend.ts';
import { describeRefusal } from './backend/peers.ts';
import { Repeats } from './repeats.ts';

const MOST_NAMED = 3;

export class RefusalLog {
  private known: ReadonlySet<string> = new Set();
  private readonly repeats = new Repeats();

  /** The line about what is new; undefined: nothing is, or not now. */
  lineFor(refused: readonly RefusedLease[], now: number): string | undefined {
    const before = this.known;
    this.known = new Set(refused.map(describeRefusal));
    if (refused.length === 0) this.repeats.over(now);
    const fresh = [...this.known].filter((refusal) => !before.has(refusal));
    if (fresh.length === 0) return undefined;
    const line = briefly(fresh);
    return this.repeats.failed(line, now) === undefined ? undefined : line;
  }
}

function briefly(refusals: readonly string[]): string {
  const more = refusals.length - MOST_NAMED;
  const named = refusals.slice(0, MOST_NAMED).join('; ');
  return more > 0 ? `${named}; and ${more} more, which "flanneld status -json" lists` : named;
}
