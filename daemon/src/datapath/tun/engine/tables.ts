import { PrefixTable } from './prefix-table.ts';
import {
  type ApplyChange,
  CHANGE,
  claimSlot,
  hasChanges,
  PEER_FIELD,
  PEER_STRIDE,
  type Shared,
  takeChanges,
} from './shared.ts';
import { slotOf } from './slots.ts';
import type { Underlay } from './underlay.ts';

/** Changes applied before packets are moved again: some tens of microseconds. */
const MOST_CHANGES = 256;

/** The data side's tables: routes of both families, peers, and what is known of the path to each of them. */
export class Tables {
  readonly routes = new PrefixTable();
  readonly #apply: ApplyChange;

  constructor(
    readonly shared: Shared,
    readonly underlay: Underlay,
  ) {
    this.#apply = (code, peer, a, b, c, d, value) => this.#change(code, peer, a, b, c, d, value);
  }

  /** Applies what the control side has announced, or a part of it; false when there was nothing. */
  refresh(): boolean {
    if (!this.pending) return false;
    takeChanges(this.shared, MOST_CHANGES, this.#apply);
    return true;
  }

  /** Whether there is more to apply. */
  get pending(): boolean {
    return hasChanges(this.shared);
  }

  /** The largest packet for a peer as it was set (Engine.setPathLimit), 0 where there is none. */
  pathLimit(peer: number): number {
    return this.shared.peers[slotOf(peer) * PEER_STRIDE + PEER_FIELD.limit]!;
  }

  #change(...[code, peer, a, b, c, d, value]: Parameters<ApplyChange>): void {
    const { routes, underlay, shared } = this;
    switch (code) {
      case CHANGE.addPeer:
        claimSlot(shared, peer);
        underlay.add(peer, a, b, c, d);
        break;
      case CHANGE.removePeer:
        underlay.remove(peer);
        break;
      case CHANGE.setRoute:
        // A peer that the socket cannot reach has no subnets: its packets then are told that there is no route.
        if (underlay.has(peer)) routes.set(a, b, c, d, value, peer);
        else routes.delete(a, b, c, d, value);
        break;
      case CHANGE.removeRoute:
        routes.delete(a, b, c, d, value);
        break;
      case CHANGE.limitPeer:
        if (shared.owners[slotOf(peer)] === peer) shared.peers[slotOf(peer) * PEER_STRIDE + PEER_FIELD.limit] = value;
    }
  }
}
