import type { RouteRow } from './peers.ts';
import type { RouteRow6 } from './peers6.ts';
import { REASONS } from './reasons.ts';

/*
 * The memory that the control side (main thread) and the data side (worker) share. Nobody waits for anybody:
 *
 *   state     words that one side writes and the other polls: phase, stop, heartbeat, versions
 *   routes    two tables; the control side fills the one not announced, then announces it. A sequence number per table, odd
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

const ROW_WORDS = 4;
const ROW6_WORDS = 7;
const STATE_BYTES = STATE_WORDS * 4;
const ABILITY_WORDS = 16;
const ABILITIES_BYTES = ABILITY_WORDS * 4;
const TOTALS_BYTES = TOTALS * 8;
const PEERS_BYTES = MAX_PEERS * PEER_STRIDE * 8;
const OWNERS_BYTES = MAX_PEERS * 4;
const TABLE_BYTES = MAX_ROUTES * ROW_WORDS * 4;
const TABLE6_BYTES = MAX_ROUTES * ROW6_WORDS * 4;

const BYTES =
  STATE_BYTES + ABILITIES_BYTES + TOTALS_BYTES + PEERS_BYTES + OWNERS_BYTES + 2 * (TABLE_BYTES + TABLE6_BYTES);

/** Views over the shared memory; each thread makes its own. */
export interface Shared {
  readonly buffer: SharedArrayBuffer;
  readonly state: Int32Array;
  readonly abilities: Int32Array;
  readonly totals: Float64Array;
  readonly peers: Float64Array;
  /** The peer address whose counters a slot holds, 0 for none. Written by the data side. */
  readonly owners: Uint32Array;
  readonly tables: readonly [Uint32Array, Uint32Array];
  readonly tables6: readonly [Uint32Array, Uint32Array];
}

/** Untouched pages cost nothing: a node with few peers uses some of the 8 MB. */
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
  return {
    buffer,
    state: new Int32Array(buffer, take(STATE_BYTES), STATE_WORDS),
    abilities: new Int32Array(buffer, take(ABILITIES_BYTES), ABILITY_WORDS),
    totals: new Float64Array(buffer, take(TOTALS_BYTES), TOTALS),
    peers: new Float64Array(buffer, take(PEERS_BYTES), MAX_PEERS * PEER_STRIDE),
    owners: new Uint32Array(buffer, take(OWNERS_BYTES), MAX_PEERS),
    tables: [table(), table()],
    tables6: [table6(), table6()],
  };
}

/** Control side: announces a new table. */
export function publishRoutes(shared: Shared, rows: readonly RouteRow[], rows6: readonly RouteRow6[] = []): void {
  const { state } = shared;
  const version = (Atomics.load(state, STATE.version) + 1) | 0;
  const side = version & 1;
  const table = shared.tables[side as 0 | 1];
  Atomics.add(state, STATE.sequence + side, 1);
  for (const [index, row] of rows.entries()) {
    const at = index * ROW_WORDS;
    table[at] = row.base;
    table[at + 1] = row.length;
    table[at + 2] = row.peer;
    table[at + 3] = row.slot;
  }
  const table6 = shared.tables6[side as 0 | 1];
  for (const [index, row] of rows6.entries()) {
    table6.set([...row.base, row.length, row.peer, row.slot], index * ROW6_WORDS);
  }
  Atomics.store(state, STATE.count + side, rows.length);
  Atomics.store(state, STATE.count6 + side, rows6.length);
  Atomics.add(state, STATE.sequence + side, 1);
  Atomics.store(state, STATE.version, version);
}

/** Data side: whether a table newer than `have` is announced. */
export function hasNewRoutes(shared: Shared, have: number): boolean {
  return Atomics.load(shared.state, STATE.version) !== have;
}

/** What is announced: a table for each family. */
export interface Taken {
  readonly version: number;
  readonly rows: readonly RouteRow[];
  readonly rows6: readonly RouteRow6[];
}

type Row6Words = readonly [number, number, number, number, number, number, number];

/** Data side: the announced table and its version, or undefined when it is being overwritten: keep the old, come again. */
export function takeRoutes(shared: Shared): Taken | undefined {
  const { state } = shared;
  const version = Atomics.load(state, STATE.version);
  const side = version & 1;
  const sequence = Atomics.load(state, STATE.sequence + side);
  if ((sequence & 1) !== 0) return undefined;
  const count = Atomics.load(state, STATE.count + side);
  const count6 = Atomics.load(state, STATE.count6 + side);
  const words = shared.tables[side as 0 | 1].slice(0, count * ROW_WORDS);
  const words6 = shared.tables6[side as 0 | 1].slice(0, count6 * ROW6_WORDS);
  if (Atomics.load(state, STATE.sequence + side) !== sequence) return undefined;
  const rows: RouteRow[] = [];
  for (let at = 0; at < words.length; at += ROW_WORDS) {
    rows.push({ base: words[at]!, length: words[at + 1]!, peer: words[at + 2]!, slot: words[at + 3]! });
  }
  const rows6: RouteRow6[] = [];
  for (let at = 0; at < words6.length; at += ROW6_WORDS) {
    const [a, b, c, d, length, peer, slot] = words6.subarray(at, at + ROW6_WORDS) as unknown as Row6Words;
    rows6.push({ base: [a, b, c, d], length, peer, slot });
  }
  return { version, rows, rows6 };
}

/** Data side: says what it makes use of. */
export function setAbility(shared: Shared, name: AbilityName, value: number): void {
  Atomics.store(shared.abilities, ABILITY[name], value);
}

/** Data side: makes the counters of each slot those of its present peer. */
export function claimSlots(shared: Shared, rows: readonly Pick<RouteRow, 'slot' | 'peer'>[]): void {
  for (const { slot, peer } of rows) {
    if (shared.owners[slot] === peer) continue;
    shared.peers.fill(0, slot * PEER_STRIDE, (slot + 1) * PEER_STRIDE);
    shared.owners[slot] = peer;
  }
}
