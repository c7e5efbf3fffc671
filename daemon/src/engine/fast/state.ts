import type { Ipv4 } from '@flannel-ts/inet/ipv4';
import type { EngineConfig } from '../engine.ts';
import { RouteTable } from '../peers.ts';
import { reasonIndex, type Verdict } from '../reasons.ts';
import {
  claimSlots,
  FIRST_DROP,
  hasNewRoutes,
  PEER_STRIDE,
  type Shared,
  TOTAL,
  type TotalName,
  takeRoutes,
} from '../shared.ts';

export type ForwarderConfig = Pick<EngineConfig, 'tunAddress' | 'mtu' | 'port' | 'filterPeers' | 'verifyChecksums'>;

/** What both directions have in common: the routes in force, and the counters, of which this thread is the only writer. */
export class State {
  routes = RouteTable.EMPTY;
  #version = 0;

  constructor(readonly shared: Shared) {}

  /** Takes over a newly announced table, if there is one that is not being written at this moment. */
  refreshRoutes(): boolean {
    if (!hasNewRoutes(this.shared, this.#version)) return false;
    const taken = takeRoutes(this.shared);
    if (taken === undefined) return false;
    claimSlots(this.shared, taken.rows);
    this.routes = new RouteTable(taken.rows);
    this.#version = taken.version;
    return true;
  }

  /** The peer that has an address, 0 for none. */
  ownerOf(address: number): number {
    const row = this.routes.lookup((address >>> 0) as Ipv4);
    return row < 0 ? 0 : this.routes.peer(row);
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
