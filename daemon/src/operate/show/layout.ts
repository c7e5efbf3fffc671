/** Text that fits a terminal: wrapped paragraphs, and tables that leave columns out where there is no room. Pure. */

/** Breaks at spaces only: a word that is longer than a line, like an IPv6 prefix, stays whole. */
export function wrap(text: string, width: number, indent = ''): string {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(/\s+/).filter((each) => each !== '')) {
    if (line !== '' && indent.length + line.length + 1 + word.length > width) {
      lines.push(indent + line);
      line = word;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  if (line !== '') lines.push(indent + line);
  return lines.join('\n');
}

/** A line for each fact, or several with an indent where it is long. */
export function formatFacts(facts: readonly (readonly [label: string, text: string])[], width: number): string {
  const label = Math.max(0, ...facts.map(([name]) => name.length));
  return facts
    .map(([name, text]) => `${name.padEnd(label)}  ${wrap(text, width, ' '.repeat(label + 2)).trimStart()}`)
    .join('\n');
}

export interface Column {
  readonly title: string;
  /** The highest goes first where the table is too wide; a column without stays. */
  readonly leaveOut?: number;
  readonly align?: 'right';
}

const GAP = '  ';

/**
 * Rows with a heading, as wide as `width` allows: columns that may be left out go one by one. What is too wide even then becomes one
 * block for each row, a line for each cell.
 */
export function formatTable(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  width: number,
  indent = '',
): string {
  let kept = columns.map((column, index) => ({ ...column, index }));
  for (;;) {
    const { lines, widest } = layOut(kept, rows, indent);
    if (widest <= width) return lines.join('\n');
    const next = kept.filter(({ leaveOut }) => leaveOut !== undefined).sort((a, b) => b.leaveOut! - a.leaveOut!)[0];
    if (next === undefined) return formatBlocks(columns, rows, width, indent);
    kept = kept.filter((column) => column !== next);
  }
}

type Kept = Column & { readonly index: number };

function layOut(columns: readonly Kept[], rows: readonly (readonly string[])[], indent: string) {
  const cells = [columns.map(({ title }) => title), ...rows.map((row) => columns.map(({ index }) => row[index] ?? ''))];
  const widths = columns.map((_, i) => Math.max(...cells.map((row) => row[i]!.length)));
  const lines = cells.map((row) => {
    const padded = row.map((cell, i) =>
      columns[i]!.align === 'right' ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!),
    );
    return `${indent}${padded.join(GAP)}`.trimEnd();
  });
  return { lines, widest: Math.max(...lines.map((line) => line.length)) };
}

function formatBlocks(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  width: number,
  indent: string,
): string {
  const label = Math.max(...columns.map(({ title }) => title.length));
  return rows
    .map((row) =>
      columns
        .map(({ title }, i) => [title, row[i] ?? ''] as const)
        .filter(([, cell]) => cell !== '')
        .map(([title, cell]) => {
          const head = `${indent}${title.padEnd(label)}${GAP}`;
          const text = wrap(cell, width, ' '.repeat(head.length));
          return `${head}${text.trimStart()}`;
        })
        .join('\n'),
    )
    .join('\n\n');
}
