/** Results as a table: a row for each measure, a column for each path. */
import type { Result } from '../result.ts';
import { FAST_PEERS } from './recorder.ts';

export interface Row {
  readonly measure: string;
  readonly unit: string;
  /** By path. */
  readonly values: ReadonlyMap<string, number>;
}

/** A result's name is "MEASURE: SERIES". */
export function splitName(name: string): { readonly measure: string; readonly series: string } {
  const at = name.lastIndexOf(': ');
  return at < 0 ? { measure: name, series: '' } : { measure: name.slice(0, at), series: name.slice(at + 2) };
}

export function rowsOf(results: readonly Result[]): Row[] {
  const rows = new Map<
    string,
    { readonly measure: string; readonly unit: string; readonly values: Map<string, number> }
  >();
  for (const { name, unit, value } of results) {
    const { measure, series } = splitName(name);
    const row = rows.get(measure) ?? { measure, unit, values: new Map<string, number>() };
    rows.set(measure, row);
    row.values.set(series, value);
  }
  return [...rows.values()];
}

/** For people who look at a terminal. */
export function compactTable(results: readonly Result[]): string {
  const rows = rowsOf(results);
  const series = [...new Set(rows.flatMap(({ values }) => [...values.keys()]))];
  const peers = FAST_PEERS.filter((peer) => series.includes(peer));
  const header = ['', 'unit', ...series, ...peers.map((peer) => `fast/${peer}`)];
  const body = rows.map((row) => [
    row.measure,
    row.unit,
    ...series.map((each) => show(row.values.get(each))),
    ...peers.map((peer) => show(row.values.get('fast')! / row.values.get(peer)!)),
  ]);
  const lines = [header, ...body];
  const widths = header.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)));
  const align = (cell: string, column: number): string =>
    column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!);
  return lines.map((line) => line.map(align).join('  ')).join('\n');
}

function show(value: number | undefined): string {
  return value === undefined || Number.isNaN(value) ? '-' : String(Number(value.toPrecision(3)));
}
