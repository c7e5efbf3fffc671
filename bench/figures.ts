/** The few figures that a reader wants first: in the README, and at the beginning of docs/performance.md. */
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

/** Undefined if the report does not have them. */
export function formatFigures({ machine, kernel, flannel, date, results }: Report): string | undefined {
  const find = (name: string) => results.find((result) => result.name === name);
  const rows = ROWS.map(({ what, result }) => {
    const cells = COLUMNS.map(({ of }) => find(`${result}: ${of}`));
    const unit = cells.find((cell) => cell !== undefined)?.unit ?? '';
    return [`${what}, ${unit}`, ...cells.map((cell) => (cell === undefined ? '' : round(cell.value)))];
  });
  if (rows[0]![1] === '') return undefined;
  return [
    `Between pods of two nodes, MTU 1500, every packet on the wire by itself; ${machine}, Linux ${kernel}${
      flannel === undefined ? '' : `, flannel ${flannel}`
    }, ${date.slice(0, 10)}:`,
    markdownTable(['', ...COLUMNS.map(({ title }) => title)], rows),
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
