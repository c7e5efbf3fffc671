/** The few figures that a reader wants first: in the README, at the beginning of docs/performance.md, and in docs/backends.md. */
import { markdownTable, round } from './markdown.ts';
import type { Report } from './result.ts';

const ROWS = [
  { what: 'TCP, 1 stream', result: 'TCP, 1 stream, wire, MTU 1500' },
  { what: 'TCP, 4 streams', result: 'TCP, 4 streams, wire, MTU 1500' },
  { what: 'TCP request and response, median', result: 'TCP request and response, median' },
  {
    what: 'UDP of 200 bytes, highest rate with under 1 % lost',
    result: 'UDP of 200 bytes, highest rate with under 1 % lost',
  },
  { what: 'memory of flanneld after load', result: 'flanneld: resident memory, after load' },
];
const COLUMNS = [
  { title: 'this flanneld', of: 'fast' },
  { title: "flannel's udp", of: 'flannel' },
  { title: "the kernel's VXLAN", of: 'vxlan' },
];

const COST_ROWS = [
  { what: 'TCP, 1 stream', result: 'TCP, 1 stream, wire, MTU 1500' },
  { what: 'processor time of the machine for it', result: 'Processor time of the machine, wire, MTU 1500' },
  ...ROWS.slice(2, 4),
];
const COST_COLUMNS = [
  { title: '`udp`', of: 'fast' },
  { title: '`vxlan`', of: 'vxlan' },
  { title: '`host-gw`', of: 'host-gw' },
];

/** Undefined if the report does not have them. */
export function formatFigures(report: Report): string | undefined {
  return format(report, ROWS, COLUMNS);
}

/** What each backend costs. Undefined if the report does not have it. */
export function formatCosts(report: Report): string | undefined {
  return format(report, COST_ROWS, COST_COLUMNS);
}

function format(
  { machine, kernel, flannel, date, results }: Report,
  wanted: readonly { readonly what: string; readonly result: string }[],
  columns: readonly { readonly title: string; readonly of: string }[],
): string | undefined {
  const find = (name: string) => results.find((result) => result.name === name);
  const rows = wanted.map(({ what, result }) => {
    const cells = columns.map(({ of }) => find(`${result}: ${of}`));
    const unit = cells.find((cell) => cell !== undefined)?.unit ?? '';
    return [`${what}, ${unit}`, ...cells.map((cell) => (cell === undefined ? '' : round(cell.value)))];
  });
  if (rows[0]![1] === '') return undefined;
  return [
    `Between pods of two nodes, MTU 1500, every packet on the wire by itself; ${machine}, Linux ${kernel}${
      flannel === undefined ? '' : `, flannel ${flannel}`
    }, ${date.slice(0, 10)}:`,
    markdownTable(['', ...columns.map(({ title }) => title)], rows),
  ].join('\n\n');
}

const BEGIN = '<!-- generated: figures -->';
const END = '<!-- end of figures -->';

/** The text with the figures between its two marks. */
export function insertFigures(text: string, figures: string): string {
  const [begin, end] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`There are no lines "${BEGIN}" and "${END}"`);
  return `${text.slice(0, begin + BEGIN.length)}\n${figures}\n${text.slice(end)}`;
}
