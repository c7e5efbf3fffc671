/** Gives each peer a number that it keeps as long as it is in the table; freed numbers are used again. */
export class PeerSlots {
  #slots: ReadonlyMap<number, number> = new Map();

  /** Takes the set of current peers; those that went lose their slots. */
  assign(peers: ReadonlySet<number>): ReadonlyMap<number, number> {
    const kept = new Map([...this.#slots].filter(([peer]) => peers.has(peer)));
    const used = new Set(kept.values());
    let next = 0;
    for (const peer of peers) {
      if (kept.has(peer)) continue;
      while (used.has(next)) next++;
      used.add(next);
      kept.set(peer, next);
    }
    this.#slots = kept;
    return kept;
  }

  get current(): ReadonlyMap<number, number> {
    return this.#slots;
  }
}
