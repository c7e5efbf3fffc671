/** Ways to set up one path, which should be alike: what they differ by, beside what the rounds of each differ by. Pure. */
import { markdownTable, round, spread } from '../markdown.ts';
import { median, type Result } from '../result.ts';
import { splitName } from './table.ts';

export const SETTERS = new Map([
  ['by flanneld', 'set up by this flanneld'],
  ['by flannel', 'set up by flannel'],
  ['by hand', 'set up by commands'],
]);

const OURS = 'by flanneld';

export interface Comparison {
  readonly measure: string;
  readonly unit: string;
  /** Of all rounds, by who set it up. */
  readonly runs: ReadonlyMap<string, readonly number[]>;
  /** Those whose rounds have nothing in common with ours, all slower or all faster. */
  readonly apart: readonly string[];
}

export function compareSetters(results: readonly Result[]): Comparison[] {
  const measures = new Map<string, { readonly unit: string; readonly runs: Map<string, readonly number[]> }>();
  for (const { name, unit, runs } of results) {
    const { measure, series } = splitName(name);
    if (!SETTERS.has(series)) continue;
    const known = measures.get(measure) ?? { unit, runs: new Map<string, readonly number[]>() };
    measures.set(measure, known);
    known.runs.set(series, runs);
  }
  return [...measures].map(([measure, { unit, runs }]) => {
    const ours = runs.get(OURS) ?? [];
    const apart = [...runs].filter(([series, theirs]) => series !== OURS && !overlap(ours, theirs));
    return { measure, unit, runs, apart: apart.map(([series]) => series) };
  });
}

/** A row for each measure: medians, in parentheses from which round to which, and whether all are alike. */
export function settersTable(results: readonly Result[]): string {
  const rows = compareSetters(results);
  const series = [...SETTERS].filter(([name]) => rows.some(({ runs }) => runs.has(name)));
  const body = rows.map(({ measure, unit, runs, apart }) => [
    `${measure.replace(/^Backends: /, '')}, ${unit}`,
    ...series.map(([name]) => cell(runs.get(name))),
    apart.length === 0 ? 'yes' : `**no: ${apart.map((name) => SETTERS.get(name)).join(', ')}**`,
  ]);
  return markdownTable(['', ...series.map(([, title]) => title), 'rounds overlap'], body);
}

function cell(runs: readonly number[] | undefined): string {
  return runs === undefined || runs.length === 0 ? '' : `${round(median(runs))} (${spread(runs)})`;
}

function overlap(a: readonly number[], b: readonly number[]): boolean {
  return Math.min(...a) <= Math.max(...b) && Math.min(...b) <= Math.max(...a);
}
