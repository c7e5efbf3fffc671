/** The status of a node as text for a terminal. Pure. */

import { formatBytes, formatDuration } from '../../units.ts';
import type { PeerStatus, SourceStatus, Status, TroubleStatus } from '../status.ts';
import { type Column, formatFacts, formatTable, wrap } from './layout.ts';

/** Parts that wait for others say no more than that. */
const NOT_STARTED = 'not yet started';
/** More rows are a list that nobody reads; -json has all of them. */
const MOST_PEERS = 50;

/** `width` in columns; `now` in milliseconds of the epoch. Ends without a newline. */
export function formatStatus(status: Status, width: number, now: number): string {
  return [
    heading(status),
    facts(status, width, now),
    peers(status, width),
    formatTroubles(status, width),
    formatDetails(status, width),
  ]
    .filter((section) => section !== '')
    .join('\n\n');
}

function heading({ version, pid, upSeconds, ready }: Status): string {
  return `flanneld ${version} (process ${pid}, up ${formatDuration(upSeconds)}) is ${ready ? 'ready' : 'not ready'}`;
}

function facts({ node, source }: Status, width: number, now: number): string {
  const rows: [string, string][] = [];
  if (node !== undefined) {
    rows.push(['node', `${node.address} on ${node.interface}`]);
    rows.push(['lease', `${node.subnets}, ${formatLeaseEnd(node.leaseEnds, now)}`]);
    const engine = node.engine === undefined ? '' : `, ${node.engine} engine${node.engineRuns ? '' : ' (not running)'}`;
    rows.push(['backend', `${node.backend}${engine}`]);
    if (node.engineRefused !== undefined) rows.push(['', `programs in the kernel: ${node.engineRefused}`]);
    for (const { name, sentBytes, receivedBytes, dropped } of node.devices) {
      const drops = dropped === 0 ? '' : `, dropped ${dropped} packets`;
      rows.push([name, `sent ${formatBytes(sentBytes)}, received ${formatBytes(receivedBytes)}${drops}`]);
    }
  }
  if (source !== null) rows.push([source.name, formatSource(source)]);
  return formatFacts(rows, width);
}

export function formatLeaseEnd(leaseEnds: string | null, now: number): string {
  if (leaseEnds === null) return 'a reservation without an end';
  const seconds = (Date.parse(leaseEnds) - now) / 1000;
  return seconds > 0 ? `ends in ${formatDuration(seconds)} unless renewed` : `ended ${formatDuration(-seconds)} ago`;
}

function formatSource({ member, silentSeconds, servesKept }: SourceStatus): string {
  const where = member === null ? '' : `${member}, `;
  const kept = servesKept ? '; serving what an earlier run kept on disk' : '';
  return `${where}last heard ${formatDuration(silentSeconds)} ago${kept}`;
}

const PEER_COLUMNS: readonly Column[] = [
  { title: 'PEER' },
  { title: 'SUBNET' },
  { title: 'ANSWERED' },
  { title: 'ROUND TRIP', align: 'right', leaveOut: 1 },
  { title: 'SENT', align: 'right', leaveOut: 2 },
  { title: 'RECEIVED', align: 'right', leaveOut: 2 },
];

function peers({ peers: all }: Status, width: number): string {
  if (all === undefined) return '';
  if (all.length === 0) return 'There are no other nodes.';
  const sorted = [...all].sort((a, b) => silence(b) - silence(a));
  const rows = sorted
    .slice(0, MOST_PEERS)
    .map((peer) => [
      peer.address,
      peer.subnet,
      peer.lastAnswerSecondsAgo === null ? 'never' : `${formatDuration(peer.lastAnswerSecondsAgo)} ago`,
      peer.roundTripMs === null ? '-' : `${peer.roundTripMs.toFixed(2)} ms`,
      peer.traffic === null ? '-' : formatBytes(peer.traffic.sentBytes),
      peer.traffic === null ? '-' : formatBytes(peer.traffic.receivedBytes),
    ]);
  // Where the kernel forwards, nobody counts by peer: the lines of the devices say it.
  const columns = all.every(({ traffic }) => traffic === null) ? PEER_COLUMNS.slice(0, 4) : PEER_COLUMNS;
  const more = all.length - rows.length;
  return `${formatTable(columns, rows, width)}${more > 0 ? `\nand ${more} more, all in -json` : ''}`;
}

/** The longest silent first. */
function silence({ lastAnswerSecondsAgo }: PeerStatus): number {
  return lastAnswerSecondsAgo ?? Number.POSITIVE_INFINITY;
}

/** Empty where there are none. */
export function formatTroubles({ troubles: all }: Pick<Status, 'troubles'>, width: number): string {
  if (all.length === 0) return '';
  const waiting = all.filter(({ trouble }) => trouble === NOT_STARTED);
  const real = all.filter(({ trouble }) => trouble !== NOT_STARTED);
  const names = waiting.map(({ part }) => part).join(', ');
  return [
    'NOT WELL',
    ...real.map((trouble) => formatTrouble(trouble, width)),
    ...(waiting.length === 0 ? [] : [wrap(`${NOT_STARTED}: ${names}`, width, '  ')]),
  ].join('\n');
}

function formatTrouble({ part, trouble, remedy, forSeconds }: TroubleStatus, width: number): string {
  return [
    `  ${part}, for ${formatDuration(forSeconds)}`,
    wrap(trouble, width, '    '),
    wrap(`-> ${remedy}`, width, '    '),
  ].join('\n');
}

/** Empty where there are none. */
export function formatDetails({ details }: Pick<Status, 'details'>, width: number): string {
  if (details.length === 0) return '';
  return ['WORTH KNOWING', ...details.map((detail) => wrap(detail, width, '    ').replace(/^ {2}/, ''))].join('\n');
}
