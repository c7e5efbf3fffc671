import { monotonicNow } from './clock.ts';

/** What a watch has been through, for metrics. */
export class WatchStatistics {
  /** Lists after the first: after a compaction, a restored store, or now and then. */
  resyncs = 0;
  private heardAt: number | undefined;

  heard(): void {
    this.heardAt = monotonicNow();
  }

  /** Milliseconds since the watch was last known to be up to date; undefined before the first list. */
  get ageMs(): number | undefined {
    return this.heardAt === undefined ? undefined : monotonicNow() - this.heardAt;
  }
}
