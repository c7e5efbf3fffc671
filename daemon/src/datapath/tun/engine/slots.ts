import type { Ip } from '@flannel-ts/inet/ip';

/*
 * A peer's number: its slot in the low 16 bits, and above them a generation, so that a number is never that of another peer that
 * had the slot before. Never 0. The data side identifies peers by it, and the slot is the index of a peer's counters.
 */
const SLOT_BITS = 16;
const LAST_GENERATION = 2 ** (32 - SLOT_BITS) - 1;

export function slotOf(peer: number): number {
  return peer & (2 ** SLOT_BITS - 1);
}

/** Gives each peer a number that it keeps until it is released; free slots are used again, the last freed one first. */
export class PeerSlots {
  readonly #numbers = new Map<Ip, number>();
  readonly #free: number[] = [];
  #next = 0;
  #generation = 0;

  /** Numbers a peer that has no number yet; 65536 peers at most. */
  assign(peer: Ip): number {
    this.#generation = (this.#generation % LAST_GENERATION) + 1;
    const slot = this.#free.pop() ?? this.#next++;
    const number = this.#generation * 2 ** SLOT_BITS + slot;
    this.#numbers.set(peer, number);
    return number;
  }

  release(peer: Ip): void {
    this.#free.push(slotOf(this.#numbers.get(peer)!));
    this.#numbers.delete(peer);
  }

  get current(): ReadonlyMap<Ip, number> {
    return this.#numbers;
  }
}
