/**
 * Which changes of the kernel are written to the log: another program that undoes them each time would fill it. Pure: the clock is the
 * caller's.
 */
import { Repeats } from '../repeats.ts';

/** So often the same change is nothing strange: a peer comes and goes. */
const PLAIN = 3;
/** What has not been done for so long begins anew. */
const CALM_MS = 600_000;
/** Beyond this, those that are calm are forgotten. */
const MOST_ENTRIES = 256;

interface Entry {
  times: number;
  lastAt: number;
  readonly repeats: Repeats;
}

export class ChangeLog {
  private readonly entries = new Map<string, Entry>();

  /** The line to write; undefined: none now. `key`: what is the same change, if its text varies. */
  line(text: string, now: number, key = text): string | undefined {
    const entry = this.entry(key, now);
    entry.times++;
    entry.lastAt = now;
    if (entry.times <= PLAIN) return text;
    return entry.repeats.failed(`${text}, again and again: another program undoes it`, now);
  }

  private entry(key: string, now: number): Entry {
    const known = this.entries.get(key);
    if (known !== undefined && now - known.lastAt < CALM_MS) return known;
    if (this.entries.size >= MOST_ENTRIES) this.forgetCalm(now);
    const entry = { times: 0, lastAt: now, repeats: new Repeats() };
    this.entries.set(key, entry);
    return entry;
  }

  private forgetCalm(now: number): void {
    for (const [key, { times, lastAt }] of this.entries) {
      if (times <= 1 || now - lastAt >= CALM_MS) this.entries.delete(key);
    }
  }
}
