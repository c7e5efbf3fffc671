/**
 * Which of the failures that come again and again are written to the log: the first at once, then ever fewer. flannel writes one line for
 * each try, 7.7 GB a day while etcd was away (issue 2470). Pure: the clock is the caller's.
 */
import { formatDuration } from './units.ts';

/** From one line to the next; the last one goes on. */
const REMIND_AFTER_MS: readonly number[] = [60_000, 600_000, 3_600_000, 6 * 3_600_000];
/** Other causes of the same failure that are told at once: several members of etcd have an error each. */
const MOST_CAUSES = 4;
/** What fails again within this time has not been over. */
const CALM_MS = 600_000;

export class Repeats {
  private since = 0;
  private tries = 0;
  private lines = 0;
  private nextAt = 0;
  private causes = new Set<string>();
  private endedAt: number | undefined;
  /** There was a line since it last was over. */
  private isTold = false;

  /** `remindAfterMs` empty: one line for each cause, until it is over. */
  constructor(
    private readonly remindAfterMs = REMIND_AFTER_MS,
    private readonly mostCauses = MOST_CAUSES,
  ) {}

  /** The line to write; undefined: none now. */
  failed(cause: string, now: number): string | undefined {
    if (this.tries > 0 && this.endedAt !== undefined && now - this.endedAt >= CALM_MS) this.reset();
    if (this.tries === 0) this.since = now;
    this.endedAt = undefined;
    this.tries++;
    const kind = kindOf(cause);
    const isNews = this.causes.size < this.mostCauses && !this.causes.has(kind);
    if (!isNews && now < this.nextAt) return undefined;
    this.causes.add(kind);
    if (now >= this.nextAt) this.nextAt = now + this.pauseMs(this.lines++);
    this.isTold = true;
    return this.tries === 1 ? cause : `${cause} (${this.tries} times in ${this.lasted(now)})`;
  }

  /** For a line that says so: how long it was not well. Undefined: it was not told, or not since it was over. */
  over(now: number): string | undefined {
    if (this.tries === 0) return undefined;
    this.endedAt ??= now;
    if (!this.isTold) return undefined;
    this.isTold = false;
    return `after ${this.lasted(now)}`;
  }

  private lasted(now: number): string {
    return formatDuration((now - this.since) / 1000);
  }

  private pauseMs(line: number): number {
    return this.remindAfterMs[line] ?? this.remindAfterMs.at(-1) ?? Number.POSITIVE_INFINITY;
  }

  private reset(): void {
    this.tries = 0;
    this.lines = 0;
    this.nextAt = 0;
    this.causes = new Set();
  }
}

/** gRPC writes how long each try took: "Deadline exceeded after 5.001s". Addresses of members stay. */
function kindOf(cause: string): string {
  return cause.replace(/\b\d+(?:\.\d+)?(?= ?m?s\b)/g, '#');
}
