import type { Ipv4 } from '@flannel-ts/inet/ipv4';
import { netmask } from '@flannel-ts/inet/prefix';

/** A route as numbers, so that it crosses shared memory: see RouteRow's use in shared.ts. */
export interface RouteRow {
  readonly base: number;
  readonly length: number;
  /** The number of the peer: slots.ts. */
  readonly peer: number;
}

interface Level {
  readonly mask: number;
  readonly rows: ReadonlyMap<number, number>;
}

/** Which peer has an address. Immutable; looking up allocates nothing. */
export class RouteTable {
  static readonly EMPTY = new RouteTable([]);

  readonly size: number;
  /** One level per prefix length in use, longest first. A flannel network has a single one. */
  readonly #levels: readonly Level[];
  readonly #peers: Uint32Array;

  /** Of rows with the same subnet the last one holds, as with flannel's `set` command. */
  constructor(rows: readonly RouteRow[]) {
    const byLength = new Map<number, Map<number, number>>();
    for (const [index, row] of rows.entries()) {
      const level = byLength.get(row.length) ?? new Map<number, number>();
      byLength.set(row.length, level.set(row.base, index));
    }
    this.#levels = [...byLength]
      .sort(([a], [b]) => b - a)
      .map(([length, level]) => ({ mask: netmask(4, length) | 0, rows: level }));
    this.size = rows.length;
    this.#peers = Uint32Array.from(rows, (row) => row.peer);
  }

  /** The row of the longest prefix that holds `ip`, -1 when there is none. */
  lookup(ip: Ipv4): number {
    for (const { mask, rows } of this.#levels) {
      const row = rows.get((ip & mask) >>> 0);
      if (row !== undefined) return row;
    }
    return -1;
  }

  peer(row: number): number {
    return this.#peers[row]!;
  }
}
