import { REASONS } from './reasons.ts';
import { slotOf } from './slots.ts';
import type { Words } from './words.ts';

/*
 * The memory that the control side (main thread) and the data side (worker) share. Nobody waits for anybody:
 *
 *   state     words that one side writes and the other polls: phase, stop, heartbeat, the ends of the ring
 *   ring      changes of routes and peers, from the control side to the data side, which applies a few at a time between
 *             packets; the cost of a change does not depend on the number of routes
 *   abilities words that the data side writes: which offloads it uses
 *   totals    counters with the data side as their single writer. Float64: one 8-byte store each, exact up to 2^53
 *   peers     counters and path facts per peer slot; the control side assigns slots, the data side zeroes a slot for its new peer
 */

/** A /8 network cut into /24 subnets. */
export const MAX_ROUTES = 65536;
export const MAX_PEERS = MAX_ROUTES;

export const STATE = {
  phase: 0,
  stop: 1,
  heartbeat: 2,
  head: 3, // changes announced
  tail: 4, // changes applied
  held: 5, // 1 while the first routes are not all announced: no packet moves before
} as const;
const STATE_WORDS = 16;

export const PHASE = { starting: 0, running: 1, ended: 2 } as const;

/** What an engine uses: 1 or 0, unless said otherwise. The reference engine leaves all at 0. */
export const ABILITY_NAMES = [
  'vnetHeader',
  'deviceTso', // the device delivers TCP super-packets
  'deviceUso', // and UDP super-packets
  'udpSegment', // one message sends several datagrams
  'udpGro', // one message receives several datagrams
  'mergeTcp', // packets are written to the device as super-packets
  'mergeUdp',
  'busyPollUs', // in microseconds
  'selfTest', // SELF_TEST
] as const;
export type AbilityName = (typeof ABILITY_NAMES)[number];
export const ABILITY = Object.fromEntries(ABILITY_NAMES.map((name, index) => [name, index])) as Record<
  AbilityName,
  number
>;

/** The result of the engine's test of device and socket at its start. */
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

/** Counters of a peer, and what is known about the path to it (PeerPath in datapath.ts; 0: nothing). */
export const PEER_FIELDS = [
  'sentPackets',
  'sentBytes',
  'receivedPackets',
  'receivedBytes',
  'limit',
  'unsegmentedFrom',
  'fallbacks',
  'lastErrno',
] as const;
export const PEER_STRIDE = PEER_FIELDS.length;
export const PEER_FIELD = Object.fromEntries(PEER_FIELDS.map((name, index) => [name, index])) as Record<
  (typeof PEER_FIELDS)[number],
  number
>;
/** The first of two: packets and bytes. */
export const SENT = PEER_FIELD.sentPackets;
export const RECEIVED = PEER_FIELD.receivedPackets;

const RECORD_WORDS = 8;
/** A power of two. What does not fit waits on the control side. */
export const RING_RECORDS = 4096;
const STATE_BYTES = STATE_WORDS * 4;
const ABILITY_WORDS = 16;
const ABILITIES_BYTES = ABILITY_WORDS * 4;
const TOTALS_BYTES = TOTALS * 8;
const PEERS_BYTES = MAX_PEERS * PEER_STRIDE * 8;
const OWNERS_BYTES = MAX_PEERS * 4;
const RING_BYTES = RING_RECORDS * RECORD_WORDS * 4;

const BYTES = STATE_BYTES + ABILITIES_BYTES + TOTALS_BYTES + PEERS_BYTES + OWNERS_BYTES + RING_BYTES;

/** Views over the shared memory; each thread makes its own. */
export interface Shared {
  readonly buffer: SharedArrayBuffer;
  readonly state: Int32Array;
  readonly abilities: Int32Array;
  readonly totals: Float64Array;
  readonly peers: Float64Array;
  /** The peer that the counters of each slot are of. */
  readonly owners: Uint32Array;
  readonly ring: Uint32Array;
}

export function createShared(): Shared {
  return sharedOf(new SharedArrayBuffer(BYTES));
}

export function sharedOf(buffer: SharedArrayBuffer): Shared {
  let offset = 0;
  const take = (bytes: number): number => {
    offset += bytes;
    return offset - bytes;
  };
  // Those of 8 bytes first: STATE_BYTES and ABILITIES_BYTES are multiples of 8.
  return {
    buffer,
    state: new Int32Array(buffer, take(STATE_BYTES), STATE_WORDS),
    abilities: new Int32Array(buffer, take(ABILITIES_BYTES), ABILITY_WORDS),
    totals: new Float64Array(buffer, take(TOTALS_BYTES), TOTALS),
    peers: new Float64Array(buffer, take(PEERS_BYTES), MAX_PEERS * PEER_STRIDE),
    owners: new Uint32Array(buffer, take(OWNERS_BYTES), MAX_PEERS),
    ring: new Uint32Array(buffer, take(RING_BYTES), RING_RECORDS * RECORD_WORDS),
  };
}

/** `words` is an address (words.ts); `value` a prefix length, or a limit in bytes. */
export const CHANGE = { addPeer: 1, removePeer: 2, setRoute: 3, removeRoute: 4, limitPeer: 5 } as const;
export type ChangeCode = (typeof CHANGE)[keyof typeof CHANGE];

export interface Change {
  readonly code: ChangeCode;
  readonly peer: number;
  readonly words: Words;
  readonly value: number;
}

/** Control side: false when the ring is full. */
export function pushChange({ state, ring }: Shared, { code, peer, words, value }: Change): boolean {
  const head = Atomics.load(state, STATE.head);
  if (((head - Atomics.load(state, STATE.tail)) | 0) === RING_RECORDS) return false;
  const at = (head & (RING_RECORDS - 1)) * RECORD_WORDS;
  ring[at] = code;
  ring[at + 1] = peer;
  for (let word = 0; word < 4; word++) ring[at + 2 + word] = words[word]!;
  ring[at + 6] = value;
  Atomics.store(state, STATE.head, (head + 1) | 0);
  return true;
}

/** Data side: whether there are changes to apply. */
export function hasChanges({ state }: Shared): boolean {
  return Atomics.load(state, STATE.head) !== Atomics.load(state, STATE.tail);
}

/** Of a code, a peer, the four words of an address, and a value. */
export type ApplyChange = (
  code: ChangeCode,
  peer: number,
  a: number,
  b: number,
  c: number,
  d: number,
  value: number,
) => void;

/** Data side: applies up to `most` changes. */
export function applyChanges({ state, ring }: Shared, most: number, apply: ApplyChange): void {
  const head = Atomics.load(state, STATE.head);
  let tail = Atomics.load(state, STATE.tail);
  for (let taken = 0; tail !== head && taken < most; taken++) {
    const at = (tail & (RING_RECORDS - 1)) * RECORD_WORDS;
    apply(
      ring[at]! as ChangeCode,
      ring[at + 1]!,
      ring[at + 2]!,
      ring[at + 3]!,
      ring[at + 4]!,
      ring[at + 5]!,
      ring[at + 6]!,
    );
    tail = (tail + 1) | 0;
  }
  Atomics.store(state, STATE.tail, tail);
}

/** Data side: publishes what it uses. */
export function setAbility(shared: Shared, name: AbilityName, value: number): void {
  Atomics.store(shared.abilities, ABILITY[name], value);
}

/** Data side: gives a slot with zeroed counters to its new peer. */
export function claimSlot({ peers, owners }: Shared, peer: number): void {
  const slot = slotOf(peer);
  peers.fill(0, slot * PEER_STRIDE, (slot + 1) * PEER_STRIDE);
  owners[slot] = peer;
}
