import type { Ipv4 } from '@flannel-ts/inet/ipv4';
import type { EngineConfig } from '../engine.ts';
import { RouteTable } from '../peers.ts';
import { RouteTable6 } from '../peers6.ts';
import { reasonIndex, type Verdict } from '../reasons.ts';
import {
  ABILITY,
  type AbilityName,
  claimSlots,
  FIRST_DROP,
  hasNewRoutes,
  PEER_STRIDE,
  SELF_TEST,
  type Shared,
  setAbility,
  TOTAL,
  type TotalName,
  takeRoutes,
} from '../shared.ts';

export type ForwarderConfig = Pick<
  EngineConfig,
  'tunAddress' | 'tunAddress6' | 'mtu' | 'port' | 'filterPeers' | 'verifyChecksums' | 'busyPollUs'
>;

/** What both directions have in common: the routes in force, and the counters, of which this thread is the only writer. */
export class State {
  routes = RouteTable.EMPTY;
  routes6 = RouteTable6.EMPTY;
  #version = 0;

  constructor(readonly shared: Shared) {}

  /** Takes over a newly announced table, if there is one that is not being written at this moment. */
  refreshRoutes(): boolean {
    if (!hasNewRoutes(this.shared, this.#version)) return false;
    const taken = takeRoutes(this.shared);
    if (taken === undefined) return false;
    claimSlots(this.shared, taken.rows);
    claimSlots(this.shared, taken.rows6);
    this.routes = new RouteTable(taken.rows);
    this.routes6 = new RouteTable6(taken.rows6);
    this.#version = taken.version;
    return true;
  }

  /** The peer that has an address, 0 for none. */
  ownerOf(address: number): number {
    const row = this.routes.lookup((address >>> 0) as Ipv4);
    return row < 0 ? 0 : this.routes.peer(row);
  }

  /** The same for the IPv6 address in the 16 bytes at `offset`. */
  ownerOf6(bytes: Uint8Array, offset: number): number {
    const row = this.routes6.lookup(bytes, offset);
    return row < 0 ? 0 : this.routes6.peer(row);
  }

  isPeer(address: number): boolean {
    return this.routes.peerSlot((address >>> 0) as Ipv4) >= 0;
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

  /** A failure stays one, whatever else passes. */
  noteTest(outcome: keyof typeof SELF_TEST | 'unknown'): void {
    if (outcome === 'unknown') return;
    const worst = Math.max(SELF_TEST[outcome], this.shared.abilities[ABILITY.selfTest]!);
    setAbility(this.shared, 'selfTest', worst);
  }

  failure(error: number): void {
    this.shared.totals[TOTAL.lastErrno] = -error;
  }

  /** `field` is SENT or RECEIVED. */
  countPeer(peer: number, field: number, packets: number, bytes: number): void {
    const slot = this.routes.peerSlot(peer as Ipv4);
    if (slot < 0) return;
    const at = slot * PEER_STRIDE + field;
    this.shared.peers[at]! += packets;
    this.shared.peers[at + 1]! += bytes;
  }
}
