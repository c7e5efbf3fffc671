import type { EngineConfig } from '../engine.ts';
import { reasonIndex, type Verdict } from '../reasons.ts';
import {
  ABILITY,
  type AbilityName,
  FIRST_DROP,
  PEER_STRIDE,
  SELF_TEST,
  type Shared,
  setAbility,
  TOTAL,
  type TotalName,
} from '../shared.ts';
import { slotOf } from '../slots.ts';
import type { Tables } from '../tables.ts';
import { Paths } from './paths.ts';

export type ForwarderConfig = Pick<
  EngineConfig,
  'tunAddress' | 'tunAddress6' | 'mtu' | 'port' | 'filterPeers' | 'verifyChecksums' | 'busyPollUs'
>;

/** What both directions share: tables, and counters of which this thread is the only writer. */
export class State {
  readonly shared: Shared;
  readonly paths: Paths;

  constructor(
    readonly tables: Tables,
    mtu: number,
    now: () => number,
  ) {
    this.shared = tables.shared;
    this.paths = new Paths(tables, mtu, now);
  }

  /** The peer that has an address, 0 for none. */
  ownerOf(address: number): number {
    return this.tables.routes.lookup(address >>> 0);
  }

  /** The same for the IPv6 address in the 16 bytes at `offset`. */
  ownerOf6(bytes: Uint8Array, offset: number): number {
    return this.tables.routes.lookup6(bytes, offset);
  }

  count(name: TotalName, by: number): void {
    this.shared.totals[TOTAL[name]]! += by;
  }

  drop(verdict: Verdict, packets: number): void {
    this.shared.totals[FIRST_DROP + reasonIndex(verdict)]! += packets;
  }

  setAbility(name: AbilityName, value: number): void {
    setAbility(this.shared, name, value);
  }

  /** A failure is kept, whatever passes later. */
  noteTest(outcome: keyof typeof SELF_TEST | 'unknown'): void {
    if (outcome === 'unknown') return;
    const worst = Math.max(SELF_TEST[outcome], this.shared.abilities[ABILITY.selfTest]!);
    setAbility(this.shared, 'selfTest', worst);
  }

  failure(error: number): void {
    this.shared.totals[TOTAL.lastErrno] = -error;
  }

  /** `field` is SENT or RECEIVED. A stranger, or a peer that has left, has no counters. */
  countPeer(peer: number, field: number, packets: number, bytes: number): void {
    const slot = slotOf(peer);
    if (this.shared.owners[slot] !== peer) return;
    const at = slot * PEER_STRIDE + field;
    this.shared.peers[at]! += packets;
    this.shared.peers[at + 1]! += bytes;
  }
}
