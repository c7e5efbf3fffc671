/** What was measured so far, by measure ("TCP 1 stream, wire, MTU 1500") and by series ("fast", "vxlan"). */
import { type Result, summarize } from '../result.ts';

interface Entry {
  readonly unit: string;
  readonly series: Map<string, number[]>;
}

export const FAST_PEERS: readonly string[] = ['vxlan', 'reference', 'flannel'];
/** What a series is compared with; the first that was measured comes first in the report. */
const PEERS: Readonly<Record<string, readonly string[]>> = {
  fast: FAST_PEERS,
  reference: ['vxlan', 'flannel'],
  flannel: ['vxlan'],
  'host-gw': ['vxlan'],
  'by flanneld': ['by flannel', 'by hand'],
};
/** Variations of the fast engine, such as "fast, no offloads". */
const VARIATION_PEERS = ['fast', 'vxlan'];

export class Recorder {
  readonly #entries = new Map<string, Entry>();

  /** `prefix`: before the name of each measure, where it is not what it usually is. */
  constructor(readonly prefix = '') {}

  note(what: string, unit: string, series: string, value: number): void {
    const measure = this.prefix + what;
    const entry = this.#entries.get(measure) ?? { unit, series: new Map<string, number[]>() };
    this.#entries.set(measure, entry);
    const runs = entry.series.get(series) ?? [];
    entry.series.set(series, runs);
    runs.push(value);
  }

  results(): Result[] {
    return [...this.#entries].flatMap(([measure, { unit, series }]) =>
      [...series].flatMap(([name, runs]) => compare(`${measure}: ${name}`, unit, name, runs, series)),
    );
  }
}

/** One result for each peer that was measured too; one without a peer where there is none, or where a ratio says nothing. */
function compare(
  name: string,
  unit: string,
  own: string,
  runs: readonly number[],
  series: ReadonlyMap<string, readonly number[]>,
): Result[] {
  const wanted = unit === '%' ? [] : (PEERS[own] ?? (own.startsWith('fast') ? VARIATION_PEERS : []));
  const peers = wanted.flatMap((peer) => {
    const theirs = series.get(peer);
    return theirs === undefined || peer === own ? [] : [{ name: peer, runs: theirs }];
  });
  return peers.length === 0 ? [summarize(name, unit, runs)] : peers.map((peer) => summarize(name, unit, runs, peer));
}
