import { RouteTable } from './peers.ts';
import { RouteTable6 } from './peers6.ts';
import { claimSlots, hasNewRoutes, type Shared, takeRoutes } from './shared.ts';
import type { Underlay } from './underlay.ts';

/** The data side's tables: what the control side announced last. */
export class Tables {
  routes = RouteTable.EMPTY;
  routes6 = RouteTable6.EMPTY;
  #version = 0;

  constructor(
    readonly shared: Shared,
    readonly underlay: Underlay,
  ) {}

  /** Takes over newly announced ones, if there are any that are not being written at this moment. */
  refresh(): boolean {
    if (!hasNewRoutes(this.shared, this.#version)) return false;
    const taken = takeRoutes(this.shared);
    if (taken === undefined) return false;
    claimSlots(this.shared, taken.peers);
    this.underlay.setPeers(taken.peers);
    // A peer that the socket cannot reach has no subnets: its packets then are told that there is no route.
    this.routes = new RouteTable(taken.rows.filter(({ peer }) => this.underlay.has(peer)));
    this.routes6 = new RouteTable6(taken.rows6.filter(({ peer }) => this.underlay.has(peer)));
    this.#version = taken.version;
    return true;
  }
}
