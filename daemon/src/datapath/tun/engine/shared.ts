import type { RouteRow } from './peers.ts';
import type { RouteRow6 } from './peers6.ts';
import { REASONS } from './reasons.ts';
import { slotOf } from './slots.ts';
import type { PeerRow } from './underlay.ts';

/*
 * The memory that the control side (main thread) and the data side (worker) share. Nobody waits for anybody:
 *
 *   state     words that one side writes and the other polls: phase, stop, heartbeat, versions
 *   tables    two of each kind (routes of both families, peers); the control side fills the one not announced, then announces it. A sequence number per table, odd
 *             while it is written, tells a reader that was overtaken by two updates to come again (a seqlock)
 *   abilities words that the data side writes when it starts, or gives something up: what it makes use of
 *   totals    counters with the data side as their single writer. Float64: one 8-byte store each, exact up to 2^53
 *   peers     the same per peer slot; the control side gives a peer its slot, the data side zeroes it for a new owner
 */

/** A /8 network cut into /24 subnets. */
export const MAX_ROUTES = 65536;
export const MAX_PEERS = MAX_ROUTES;

export const STATE = {
  phase: 0,
  stop: 1,
  heartbeat: 2,
  version: 3, // of the announced table; its parity says which of the two
  sequence: 4, // and 5
  count: 6, // and 7
  count6: 8, // and 9
  countPeers: 10, // and 11
} as const;
const STATE_WORDS = 16;

export const PHASE = { starting: 0, running: 1, ended: 2 } as const;

/** What an engine makes use of: 1 or 0, unless said otherwise. Those that know no offloads leave all at 0. */
export const ABILITY_NAMES = [
  'vnetHeader',
  'deviceTso', // super-packets of TCP come from the device
  'deviceUso', // super-packets of UDP, too
  'udpSegment', // several datagrams leave by one message
  'udpGro', // and come by one
  'mergeTcp', // packets go to the device as super-packets
  'mergeUdp',
  'busyPollUs', // in microseconds
  'selfTest', // SELF_TEST
] as const;
export type AbilityName = (typeof ABILITY_NAMES)[number];
export const ABILITY = Object.fromEntries(ABILITY_NAMES.map((name, index) => [name, index])) as Record<
  AbilityName,
  number
>;

/** How the engine's test of the device and the socket at its start went. */
export const SELF_TEST = { none: 0, passed: 1, failed: 2 } as const;

const TOTAL_NAMES = [
  'tunPackets',
  'tunBytes',
  'socketPackets',
  'socketBytes',
  'sentPackets',
  'sentBytes',
  'deliveredPackets',
  'deliveredBytes',
  'icmpSent',
  'icmpSuppressed',
  'sendStalls',
  'receiveErrors',
  'lastErrno',
  'superPackets',
  'segmentedSends',
  'mergedWrites',
  'offloadFallbacks',
] as const;
export type TotalName = (typeof TOTAL_NAMES)[number];

/** Index of each total; the drop counters follow, in the order of REASONS. */
export const TOTAL = Object.fromEntries(TOTAL_NAMES.map((name, index) => [name, index])) as Record<TotalName, number>;
export const FIRST_DROP = TOTAL_NAMES.length;
const TOTALS = FIRST_DROP + REASONS.length;

export const PEER_FIELDS = ['sentPackets', 'sentBytes', 'receivedPackets', 'receivedBytes'] as const;
export const PEER_STRIDE = PEER_FIELDS.length;
export const SENT = 0;
export const RECEIVED = 2;

const ROW_WORDS = 3;
const ROW6_WORDS = 6;
const PEER_WORDS = 5;
const STATE_BYTES = STATE_WORDS * 4;
const ABILITY_WORDS = 16;
const ABILITIES_BYTES = ABILITY_WORDS * 4;
const TOTALS_BYTES = TOTALS * 8;
const PEERS_BYTES = MAX_PEERS * PEER_STRIDE * 8;
const OWNERS_BYTES = MAX_PEERS * 4;
const TABLE_BYTES = MAX_ROUTES * ROW_WORDS * 4;
const TABLE6_BYTES = MAX_ROUTES * ROW6_WORDS * 4;
const PEER_TABLE_BYTES = MAX_PEERS * PEER_WORDS * 4;

const BYTES =
  STATE_BYTES +
  ABILITIES_BYTES +
  TOTALS_BYTES +
  PEERS_BYTES +
  OWNERS_BYTES +
  2 * (TABLE_BYTES + TABLE6_BYTES + PEER_TABLE_BYTES);

/** Views over the shared memory; each thread makes its own. */
export interface Shared {
  readonly buffer: SharedArrayBuffer;
  readonly state: Int32Array;
  readonly abilities: Int32Array;
  readonly totals: Float64Array;
  readonly peers: Float64Array;
  /** The number of the peer whose counters a slot holds, 0 for none. Written by the data side. */
  readonly owners: Uint32Array;
  readonly tables: readonly [Uint32Array, Uint32Array];
  readonly tables6: readonly [Uint32Array, Uint32Array];
  readonly peerTables: readonly [Uint32Array, Uint32Array];
}

/** Untouched pages cost nothing: a node with few peers uses little of these 10 MB. */
export function createShared(): Shared {
  return sharedOf(new SharedArrayBuffer(BYTES));
}

export function sharedOf(buffer: SharedArrayBuffer): Shared {
  let offset = 0;
  const take = (bytes: number): number => {
    offset += bytes;
    return offset - bytes;
  };
  const table = () => new Uint32Array(buffer, take(TABLE_BYTES), MAX_ROUTES * ROW_WORDS);
  const table6 = () => new Uint32Array(buffer, take(TABLE6_BYTES), MAX_ROUTES * ROW6_WORDS);
  const peerTable = () => new Uint32Array(buffer, take(PEER_TABLE_BYTES), MAX_PEERS * PEER_WORDS);
  return {
    buffer,
    state: new Int32Array(buffer, take(STATE_BYTES), STATE_WORDS),
    abilities: new Int32Array(buffer, take(ABILITIES_BYTES), ABILITY_WORDS),
    totals: new Float64Array(buffer, take(TOTALS_BYTES), TOTALS),
    peers: new Float64Array(buffer, take(PEERS_BYTES), MAX_PEERS * PEER_STRIDE),
    owners: new Uint32Array(buffer, take(OWNERS_BYTES), MAX_PEERS),
    tables: [table(), table()],
    tables6: [table6(), table6()],
    peerTables: [peerTable(), peerTable()],
  };
}

/** What is announced: routes of each family, and the peers they lead to. */
export interface Rows {
  readonly rows: readonly RouteRow[];
  readonly rows6: readonly RouteRow6[];
  readonly peers: readonly PeerRow[];
}

/** Control side: announces new tables. */
export function publishRoutes(shared: Shared, { rows, rows6, peers }: Rows): void {
  const { state } = shared;
  const version = (Atomics.load(state, STATE.version) + 1) | 0;
  const side = (version & 1) as 0 | 1;
  Atomics.add(state, STATE.sequence + side, 1);
  const table = shared.tables[side];
  for (const [index, row] of rows.entries()) table.set([row.base, row.length, row.peer], index * ROW_WORDS);
  const table6 = shared.tables6[side];
  for (const [index, row] of rows6.entries()) table6.set([...row.base, row.length, row.peer], index * ROW6_WORDS);
  const peerTable = shared.peerTables[side];
  for (const [index, row] of peers.entries()) peerTable.set([row.peer, ...row.address], index * PEER_WORDS);
  Atomics.store(state, STATE.count + side, rows.length);
  Atomics.store(state, STATE.count6 + side, rows6.length);
  Atomics.store(state, STATE.countPeers + side, peers.length);
  Atomics.add(state, STATE.sequence + side, 1);
  Atomics.store(state, STATE.version, version);
}

/** Data side: whether tables newer than `have` are announced. */
export function hasNewRoutes(shared: Shared, have: number): boolean {
  return Atomics.load(shared.state, STATE.version) !== have;
}

export interface Taken extends Rows {
  readonly version: number;
}

/** Data side: the announced tables and their version, or undefined when they are being overwritten: keep the old, come again. */
export function takeRoutes(shared: Shared): Taken | undefined {
  const { state } = shared;
  const version = Atomics.load(state, STATE.version);
  const side = (version & 1) as 0 | 1;
  const sequence = Atomics.load(state, STATE.sequence + side);
  if ((sequence & 1) !== 0) return undefined;
  const count = (which: number): number => Atomics.load(state, which + side);
  const words = shared.tables[side].slice(0, count(STATE.count) * ROW_WORDS);
  const words6 = shared.tables6[side].slice(0, count(STATE.count6) * ROW6_WORDS);
  const peerWords = shared.peerTables[side].slice(0, count(STATE.countPeers) * PEER_WORDS);
  if (Atomics.load(state, STATE.sequence + side) !== sequence) return undefined;
  return {
    version,
    rows: rowsOf(words, ROW_WORDS, ([base, length, peer]) => ({ base: base!, length: length!, peer: peer! })),
    rows6: rowsOf(words6, ROW6_WORDS, ([a, b, c, d, length, peer]) => {
      return { base: [a!, b!, c!, d!], length: length!, peer: peer! };
    }),
    peers: rowsOf(peerWords, PEER_WORDS, ([peer, a, b, c, d]) => ({ peer: peer!, address: [a!, b!, c!, d!] })),
  };
}

function rowsOf<T>(words: Uint32Array, size: number, read: (row: readonly number[]) => T): T[] {
  return Array.from({ length: words.length / size }, (_, row) =>
    read([...words.subarray(row * size, (row + 1) * size)]),
  );
}

/** Data side: says what it makes use of. */
export function setAbility(shared: Shared, name: AbilityName, value: number): void {
  Atomics.store(shared.abilities, ABILITY[name], value);
}

/** Data side: makes the counters of each slot those of its present peer. */
export function claimSlots(shared: Shared, peers: readonly PeerRow[]): void {
  for (const { peer } of peers) {
    const slot = slotOf(peer);
    if (shared.owners[slot] === peer) continue;
    shared.peers.fill(0, slot * PEER_STRIDE, (slot + 1) * PEER_STRIDE);
    shared.owners[slot] = peer;
  }
}
