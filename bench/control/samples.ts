export interface Contender {
  readonly name: string;
  readonly program: string;
}

/** Runs of each measurement by its name. */
export type Samples = Map<string, { readonly unit: string; readonly runs: number[] }>;

export function record(samples: Samples, what: string, unit: string, value: number): void {
  process.stderr.write(`    ${what}: ${Math.round(value * 10) / 10} ${unit}\n`);
  const known = samples.get(what) ?? { unit, runs: [] };
  known.runs.push(value);
  samples.set(what, known);
}
