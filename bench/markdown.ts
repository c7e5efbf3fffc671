/** Tables and numbers as pages show them. */

export function markdownTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(header), `|${'---|'.repeat(header.length)}`, ...rows.map(line)].join('\n');
}

/** Three digits: more than a machine repeats. */
export function round(value: number): string {
  return String(Number(value.toPrecision(3)));
}

/** From which run to which. */
export function spread(runs: readonly number[]): string {
  return `${round(Math.min(...runs))} to ${round(Math.max(...runs))}`;
}
