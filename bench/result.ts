/** What a benchmark gives, and what `npm run bench -- --json FILE` writes. */
export interface Result {
  readonly name: string;
  /** "ms", "Gbit/s", "packets/s", "MB", ... */
  readonly unit: string;
  /** The median of `runs`. */
  readonly value: number;
  /** What it is compared with, measured in the same run and on the same machine. */
  readonly peer?: { readonly name: string; readonly value: number };
  /** value / peer.value */
  readonly ratio?: number;
  /** Every single measurement, in the order they were made. */
  readonly runs: readonly number[];
}

/** Every bench/NAME/index.ts is one. */
export interface Benchmark {
  readonly name: string;
  readonly run: () => Promise<Result[]>;
  /** The results for a terminal; without it each is a line. */
  readonly summary?: (results: readonly Result[]) => string;
  /** Of flannel itself, where it takes part; asked before the run. */
  readonly flannelVersion?: () => string | undefined;
}

export interface Report {
  /** Processor and how many of them. */
  readonly machine: string;
  readonly kernel: string;
  /** The version of flannel itself, where it took part. */
  readonly flannel?: string;
  /** ISO 8601. */
  readonly date: string;
  readonly results: readonly Result[];
}

export interface Peer {
  readonly name: string;
  readonly runs: readonly number[];
}

/** Medians, because one slow run says something of the machine and not of what is measured. */
export function summarize(name: string, unit: string, runs: readonly number[], peer?: Peer): Result {
  const value = median(runs);
  if (peer === undefined) return { name, unit, value, runs };
  const other = median(peer.runs);
  return { name, unit, value, peer: { name: peer.name, value: other }, ratio: value / other, runs };
}

export function median(values: readonly number[]): number {
  if (values.length === 0) throw new Error('There is no median of nothing');
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
