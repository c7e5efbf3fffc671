import { PrefixTable } from './prefix-table.ts';
import {
  type ApplyChange,
  applyChanges,
  CHANGE,
  claimSlot,
  hasChanges,
  PEER_FIELD,
  PEER_STRIDE,
  type Shared,
} from './shared.ts';
import { slotOf } from './slots.ts';
import type { Underlay } from './underlay.ts';

/** Changes applied before packets are moved again: some tens of microseconds. */
const MOST_CHANGES = 256;

/** The data side's tables: routes of both families, peers, and the limits of their paths. */
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
    applyChanges(this.shared, MOST_CHANGES, this.#apply);
    return true;
  }

  /** Whether there is more to apply. */
  get pending(): boolean {
    return hasChanges(this.shared);
  }

  /** The path limit of a peer (Engine.setPathLimit), 0 if none is set. */
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
        // A peer of the other family cannot be reached by this socket: packets for its subnets get "no route".
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
