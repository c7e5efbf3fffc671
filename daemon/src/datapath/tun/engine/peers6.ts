/** Of an IPv6 address, as numbers in network order. */
export type Words6 = readonly [number, number, number, number];

/** The IPv6 side of RouteRow. */
export interface RouteRow6 {
  readonly base: Words6;
  readonly length: number;
  readonly peer: number;
}

const EMPTY = -1;

/** Prefixes of one length: a hash table with open addressing. */
interface Level {
  readonly mask: Uint32Array;
  /** Row numbers, EMPTY where there is none; a power of two of them, at most half in use. */
  readonly buckets: Int32Array;
}

/** Which peer has an IPv6 address. Immutable; looking up allocates nothing. */
export class RouteTable6 {
  static readonly EMPTY = new RouteTable6([]);

  readonly size: number;
  /** Longest first. */
  readonly #levels: readonly Level[];
  readonly #bases: Uint32Array;
  readonly #peers: Uint32Array;

  /** Of rows with the same subnet the last one holds. */
  constructor(rows: readonly RouteRow6[]) {
    this.size = rows.length;
    this.#bases = Uint32Array.from(rows.flatMap(({ base }) => base));
    this.#peers = Uint32Array.from(rows, ({ peer }) => peer);
    const byLength = new Map<number, number[]>();
    for (const [row, { length }] of rows.entries()) {
      const level = byLength.get(length);
      if (level === undefined) byLength.set(length, [row]);
      else level.push(row);
    }
    this.#levels = [...byLength].sort(([a], [b]) => b - a).map(([length, level]) => this.#level(length, level));
  }

  /** The row of the longest prefix that holds the address in the 16 bytes at `offset`, -1 when there is none. */
  lookup(packet: Uint8Array, offset: number): number {
    const a = wordAt(packet, offset);
    const b = wordAt(packet, offset + 4);
    const c = wordAt(packet, offset + 8);
    const d = wordAt(packet, offset + 12);
    for (const level of this.#levels) {
      const row = level.buckets[this.#find(level, a, b, c, d)]!;
      if (row !== EMPTY) return row;
    }
    return -1;
  }

  peer(row: number): number {
    return this.#peers[row]!;
  }

  #level(length: number, rows: readonly number[]): Level {
    const mask = Uint32Array.from([0, 32, 64, 96], (from) => wordMask(length - from));
    const buckets = new Int32Array(2 ** Math.ceil(Math.log2(2 * rows.length))).fill(EMPTY);
    const level = { mask, buckets };
    for (const row of rows) {
      const [a, b, c, d] = this.#bases.subarray(row * 4) as unknown as Words6;
      buckets[this.#find(level, a, b, c, d)] = row;
    }
    return level;
  }

  /** The bucket that holds this address's prefix, or that would. */
  #find({ mask, buckets }: Level, a: number, b: number, c: number, d: number): number {
    const ma = (a & mask[0]!) >>> 0;
    const mb = (b & mask[1]!) >>> 0;
    const mc = (c & mask[2]!) >>> 0;
    const md = (d & mask[3]!) >>> 0;
    const last = buckets.length - 1;
    for (let at = hash(ma, mb, mc, md) & last; ; at = (at + 1) & last) {
      const row = buckets[at]!;
      if (row === EMPTY) return at;
      const base = row * 4;
      const bases = this.#bases;
      if (bases[base] === ma && bases[base + 1] === mb && bases[base + 2] === mc && bases[base + 3] === md) return at;
    }
  }
}

function wordAt(bytes: Uint8Array, offset: number): number {
  return (bytes[offset]! << 24) | (bytes[offset + 1]! << 16) | (bytes[offset + 2]! << 8) | bytes[offset + 3]!;
}

function wordMask(length: number): number {
  if (length <= 0) return 0;
  return length >= 32 ? 0xffff_ffff : (0xffff_ffff << (32 - length)) >>> 0;
}

/** Subnets of a network differ in few bits, anywhere: the multiplications (Knuth) carry them to the others. */
function hash(a: number, b: number, c: number, d: number): number {
  let mixed = Math.imul(a ^ Math.imul(b, 0x9e37_79b1), 0x85eb_ca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 15) ^ Math.imul(c, 0xc2b2_ae35), 0x9e37_79b1);
  mixed = Math.imul(mixed ^ (mixed >>> 13) ^ d, 0x85eb_ca6b);
  return mixed ^ (mixed >>> 16);
}
