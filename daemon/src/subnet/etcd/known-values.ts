/** Last known values of a range by key, to ignore what is reported again: a node that renews its lease puts the same value. */
import type { RangeEvent } from './watch.ts';

export class KnownValues {
  private values: Map<string, string> | undefined;

  /** Of these events, those that say something new. A list does as soon as one value in it does. */
  newsIn(events: readonly RangeEvent[]): RangeEvent[] {
    return events.filter((event) => this.learn(event));
  }

  toObject(): Record<string, string> {
    return Object.fromEntries(this.values ?? []);
  }

  private learn(event: RangeEvent): boolean {
    if (event.type === 'snapshot') {
      const before = this.values;
      this.values = new Map(event.keyValues.map(({ key, value }) => [key, value]));
      return before === undefined || !sameEntries(before, this.values);
    }
    this.values ??= new Map();
    if (event.type === 'delete') return this.values.delete(event.key);
    const { key, value } = event.keyValue;
    if (this.values.get(key) === value) return false;
    this.values.set(key, value);
    return true;
  }
}

function sameEntries(a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): boolean {
  if (a.size !== b.size) return false;
  for (const [key, value] of a) if (b.get(key) !== value) return false;
  return true;
}
