/** The data plane's part of docs/performance.md, from results alone. */
import { DEFAULT_BUSY_POLL_US, MAX_BUSY_POLL_US } from '@flannel-ts/flannel/backend-config';
import { markdownTable, round } from '../markdown.ts';
import type { Result } from '../result.ts';
import { judge } from './aims.ts';
import { SETTERS, settersTable } from './alike.ts';
import { type Row, rowsOf, splitName } from './table.ts';

/** In the order of the columns. */
const SERIES = new Map([
  ['fast', 'fast engine'],
  ['vxlan', 'kernel VXLAN'],
  ['reference', 'reference engine'],
  ['flannel', "flannel's own udp"],
  ['host-gw', 'plain routes (host-gw)'],
  ['fast, no busy polling', 'fast, no busy polling'],
  ['fast, busy polling', 'fast, busy polling'],
  ['fast, checksums not verified', 'fast, checksums not verified'],
  ['fast, 4 source ports', 'fast, 4 source ports'],
  ['fast, no offloads', 'fast, no offloads'],
  ...SETTERS,
]);

export function isOfDataPlane({ name }: Result): boolean {
  return SERIES.has(splitName(name).series);
}

interface Section {
  readonly title: string;
  readonly text: string;
  readonly takes: RegExp;
  /** Instead of medians alone. */
  readonly table?: (results: readonly Result[]) => string;
}

const SECTIONS: readonly Section[] = [
  {
    title: 'Throughput of TCP',
    text: `From a pod on one node to a pod on another, iperf3. "whole": the link between the nodes carries super-packets, which flatters
whatever keeps them whole. "wire": every packet crosses it at the size of its MTU, as on a network card without offloads, and the
receiving interface merges them again (GRO). "back": from the second pod to the first. The engines run without the control side, in a
program that is compiled as flanneld is.`,
    takes: /^TCP, /,
  },
  {
    title: 'Processor time',
    text: 'With 1 stream of TCP, for 10^9 bytes that arrive: of the whole machine, iperf3 with it, and of the two processes of the engine.',
    takes: /^Processor time/,
  },
  {
    title: 'Round trips',
    text: `Wire, MTU 1500, with nothing else on the path: one byte each way over TCP with blocking calls, as fast as they go, and ping.
Every 5 ms, ping itself does not sleep, and so keeps one of the two processors awake; every 20 ms it does. A path through user space then
waits for its threads to be woken, on both nodes and both ways.
The engine looks for more packets for ${DEFAULT_BUSY_POLL_US} µs after the last, while that pays; "busy polling" is with ${MAX_BUSY_POLL_US} µs.`,
    takes: /^(?:TCP request|Ping)/,
  },
  {
    title: 'Datagrams',
    text: `Wire, MTU 1500. The highest offered rate with under 1 % lost is looked for by halving; "at full speed" is all that the sender
has. The programs at the ends share the processors with the path: what arrives depends on them as well. "Full buffer" is what reached
the pod, whose program did not get to run in time to read it from its socket. VXLAN takes its time from the sender instead: it carries
packets within the sender's system calls, which so can send no more than arrives.`,
    takes: /^UDP/,
  },
  {
    title: 'Single properties of the fast engine',
    text: `MTU 1500. Inner checksums are verified before packets are merged, since the kernel makes new ones then. Each stream leaves by one
source port.`,
    takes: /^Options: /,
  },
  {
    title: 'flanneld as a whole',
    text: 'The shipped `dist/flanneld` with an etcd, two nodes: half a minute after the start, without traffic, and after load of TCP both ways.',
    takes: /^flanneld: /,
  },
  {
    title: 'Backends of the kernel',
    text: `MTU 1500, 1 stream of TCP. The same path as this flanneld, flannel and plain commands set it up: what is more than the variation from round
to round, which is in parentheses, would be a fault.`,
    takes: /^Backends: /,
    table: settersTable,
  },
];

const PROFILE = /^Profile, (sender|receiver): (.*)$/;
const TIME_IN = 'time in: ';

export function dataPlanePage(results: readonly Result[]): string {
  const rows = rowsOf(results);
  const sections = SECTIONS.flatMap(({ title, text, takes, table }) => {
    const own = rows.filter(({ measure }) => takes.test(measure));
    if (own.length === 0) return [];
    const shown = table?.(results.filter(({ name }) => takes.test(name))) ?? comparison(own);
    return [`### ${title}\n\n${text}\n\n${shown}`];
  });
  return [aimsSection(results), ...sections, ...profileSection(rows)].join('\n\n');
}

function aimsSection(results: readonly Result[]): string {
  const rows = judge(results).map(({ aim, measured, met, missedBy }) => [
    aim.text,
    aim.least === undefined ? `at most ${aim.most}` : `at least ${aim.least}`,
    round(measured),
    met ? 'met' : `**missed by ${round(missedBy * 100)} %**`,
  ]);
  return `### Aims\n\n${markdownTable(['aim', 'limit', 'measured', ''], rows)}`;
}

function comparison(rows: readonly Row[]): string {
  const columns = [...SERIES].filter(([series]) => rows.some(({ values }) => values.has(series)));
  const ratios = [
    ['vxlan', 'fast / VXLAN'],
    ['reference', 'fast / reference'],
    ['flannel', "fast / flannel's own"],
  ].filter(([peer]) => rows.some(({ values, unit }) => unit !== '%' && values.has('fast') && values.has(peer!)));
  const body = rows.map(({ measure, unit, values }) => [
    `${measure.replace(/^(?:Options|flanneld|Backends): /, '')}, ${unit}`,
    ...columns.map(([series]) => cell(values.get(series))),
    ...ratios.map(([peer]) => (unit === '%' ? '' : cell(values.get('fast')! / values.get(peer!)!))),
  ]);
  return markdownTable(['', ...columns.map(([, title]) => title), ...ratios.map(([, title]) => title!)], body);
}

function cell(value: number | undefined): string {
  return value === undefined || Number.isNaN(value) ? '' : round(value);
}

interface ProfileRow extends Row {
  readonly role: string;
  readonly what: string;
}

function profileSection(rows: readonly Row[]): string[] {
  const own = rows.flatMap((row): ProfileRow[] => {
    const [, role, what] = PROFILE.exec(row.measure) ?? [];
    return role === undefined || what === undefined || what.endsWith(' bytes') ? [] : [{ ...row, role, what }];
  });
  if (own.length === 0) return [];
  const costs = own.filter(({ what }) => !what.startsWith(TIME_IN));
  const times = own.filter(({ what }) => what.startsWith(TIME_IN));
  const parts = [
    '### Where the time goes',
    'Fast engine, 1 stream of TCP, wire, MTU 1500. The sender is the engine on the node that the stream leaves, the receiver the other.',
    facts(costs).join('\n'),
    markdownTable(
      ['for each 10^9 bytes', 'sender', 'receiver'],
      byRole(costs, (unit) => (unit === 's/GB' ? ', s' : '')),
    ),
  ];
  if (times.length > 0) {
    parts.push(
      limits(times),
      markdownTable(
        ['share of samples, %', 'sender', 'receiver'],
        byRole(times, () => ''),
      ),
    );
  }
  return [parts.join('\n\n')];
}

function fastValue(rows: readonly ProfileRow[], role: string, what: string): number | undefined {
  return rows.find((row) => row.role === role && row.what === what)?.values.get('fast');
}

function byRole(rows: readonly ProfileRow[], suffix: (unit: string) => string): string[][] {
  const kinds = new Map(rows.map(({ what, unit }) => [what, unit]));
  return [...kinds].flatMap(([what, unit]) => {
    const values = ['sender', 'receiver'].map((role) => fastValue(rows, role, what));
    if (values.every((value) => value === undefined)) return [];
    return [[`${what.replace(TIME_IN, '')}${suffix(unit)}`, ...values.map(cell)]];
  });
}

/** Sentences that a reader would otherwise work out from the table. */
function facts(rows: readonly ProfileRow[]): string[] {
  const ratio = (role: string, a: string, b: string): number =>
    (fastValue(rows, role, a) ?? Number.NaN) / (fastValue(rows, role, b) ?? Number.NaN);
  const lines = ['sender', 'receiver'].map(
    (role) =>
      `- ${role}: ${round(100 / (1 + 1 / ratio(role, 'system time', 'user time')))} % of its time in the kernel`,
  );
  const calls: readonly (readonly [string, string, string, string])[] = [
    ['sender', 'tun packets', 'super packets', 'packets for each super-packet read from the device'],
    ['sender', 'sent packets', 'segmented sends', 'packets for each segmented message sent'],
    ['receiver', 'delivered packets', 'merged writes', 'packets for each merged write to the device'],
  ];
  for (const [role, packets, count, text] of calls) {
    const value = ratio(role, packets, count);
    if (!Number.isNaN(value)) lines.push(`- ${role}: ${round(value)} ${text}`);
  }
  return lines;
}

function limits(rows: readonly ProfileRow[]): string {
  const most = (role: string): string => {
    const [first] = rows
      .filter((row) => row.role === role && row.values.has('fast'))
      .sort((a, b) => b.values.get('fast')! - a.values.get('fast')!);
    return first === undefined ? '' : `${first.what.replace(TIME_IN, '')} (${round(first.values.get('fast')!)} %)`;
  };
  return `The largest share of the sender's time: ${most('sender')}; of the receiver's: ${most('receiver')}. By perf(1), cpu-clock.
Softirq is what carries packets on to the other side, within the engine's own system calls where it shares a processor with it.`;
}
