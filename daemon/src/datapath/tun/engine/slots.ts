import type { Ip } from '@flannel-ts/inet/ip';

/*
 * A peer's number: its slot in the low 16 bits, and above them a generation, so that a number is never that of another peer that
 * had the slot before. Never 0. The data side knows peers by it, and finds counters by the slot without a look into a table.
 */
const SLOT_BITS = 16;
const LAST_GENERATION = 2 ** (32 - SLOT_BITS) - 1;

export function slotOf(peer: number): number {
  return peer & (2 ** SLOT_BITS - 1);
}

/** Gives each peer a number that it keeps as long as it is in the table; the slots of those that went are used again. */
export class PeerSlots {
  #numbers: ReadonlyMap<Ip, number> = new Map();
  #generation = 0;

  /** Takes the set of current peers, 65536 at most. */
  assign(peers: ReadonlySet<Ip>): ReadonlyMap<Ip, number> {
    this.#generation = (this.#generation % LAST_GENERATION) + 1;
    const kept = new Map([...this.#numbers].filter(([peer]) => peers.has(peer)));
    const used = new Set([...kept.values()].map(slotOf));
    let next = 0;
    for (const peer of peers) {
      if (kept.has(peer)) continue;
      while (used.has(next)) next++;
      used.add(next);
      kept.set(peer, this.#generation * 2 ** SLOT_BITS + next);
    }
    this.#numbers = kept;
    return kept;
  }

  get current(): ReadonlyMap<Ip, number> {
    return this.#numbers;
  }
}
