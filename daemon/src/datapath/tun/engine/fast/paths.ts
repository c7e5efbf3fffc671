import { EIO } from '@flannel-ts/linux/errno';
import { PEER_FIELD, PEER_STRIDE, type Shared } from '../shared.ts';
import { slotOf } from '../slots.ts';
import type { Tables } from '../tables.ts';
import * as layout from './assembly/layout.ts';
import type { Wasm } from './wasm.ts';

/** Segmentation is tried again after this time, in case the path has changed. The kernel keeps a path's MTU for 10 minutes. */
export const RETRY_MS = 60_000;

const NO_LIMIT = 0xffff_ffff;

/** What the engine learns about the path to each peer. */
export class Paths {
  readonly #shared: Shared;
  /** When segmentation is tried again, for peers to which it was refused. */
  readonly #retries = new Map<number, number>();
  #next = Number.POSITIVE_INFINITY;

  constructor(
    readonly tables: Tables,
    readonly mtu: number,
    readonly now: () => number,
  ) {
    this.#shared = tables.shared;
  }

  /** Writes a peer's name and the limits of its path to where the module reads them. Allocates nothing. */
  describe(wasm: Wasm, peer: number): void {
    this.tables.underlay.writeName(wasm.bytes, layout.LAST_TARGET, peer);
    const limit = this.tables.pathLimit(peer);
    wasm.words[layout.TARGET_LIMIT >>> 2] = limit === 0 ? this.mtu : Math.min(limit, this.mtu);
    wasm.words[layout.TARGET_UNSEGMENTED >>> 2] = this.#field(peer, 'unsegmentedFrom') || NO_LIMIT;
  }

  /** The kernel refused a message of segments of `size` bytes, and accepted them one by one. */
  segmentsRefused(peer: number, size: number, error: number): void {
    if (this.#shared.owners[slotOf(peer)] !== peer) return;
    // EIO: no checksum offload on this path (before Linux 6.11), or IPsec: no size is accepted. Else the path's MTU is smaller.
    this.#put(peer, 'unsegmentedFrom', error === EIO ? 1 : size);
    this.#put(peer, 'fallbacks', this.#field(peer, 'fallbacks') + 1);
    this.#put(peer, 'lastErrno', -error);
    this.#retries.set(peer, this.now() + RETRY_MS);
    this.#next = Math.min(this.#next, this.now() + RETRY_MS);
  }

  sendFailed(peer: number, error: number): void {
    if (this.#shared.owners[slotOf(peer)] === peer) this.#put(peer, 'lastErrno', -error);
  }

  /** Forgets refusals that are old enough; false if there are none. */
  retry(): boolean {
    if (this.#next === Number.POSITIVE_INFINITY || this.now() < this.#next) return false;
    for (const [peer, at] of this.#retries) {
      if (at > this.#next) continue;
      this.#retries.delete(peer);
      if (this.#shared.owners[slotOf(peer)] === peer) this.#put(peer, 'unsegmentedFrom', 0);
    }
    this.#next = Math.min(Number.POSITIVE_INFINITY, ...this.#retries.values());
    return true;
  }

  #field(peer: number, name: keyof typeof PEER_FIELD): number {
    return this.#shared.peers[slotOf(peer) * PEER_STRIDE + PEER_FIELD[name]]!;
  }

  #put(peer: number, name: keyof typeof PEER_FIELD, value: number): void {
    this.#shared.peers[slotOf(peer) * PEER_STRIDE + PEER_FIELD[name]] = value;
  }
}
