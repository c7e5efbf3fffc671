import { MAPPED, MAPPED_BITS, wordAt } from './words.ts';

/** Of a bucket: the four words of the prefix, its length, the peer. A bucket with the peer 0 is empty. */
const BUCKET_WORDS = 6;
const LENGTH = 4;
const PEER = 5;
const LEAST_BUCKETS = 64;
const LENGTHS = 129;

/** The four words of the netmask of each length. */
const MASKS = new Uint32Array(LENGTHS * 4);
for (let length = 0; length < LENGTHS; length++) {
  for (let word = 0; word < 4; word++) MASKS[length * 4 + word] = wordMask(length - word * 32);
}

function wordMask(length: number): number {
  if (length <= 0) return 0;
  return length >= 32 ? 0xffff_ffff : (0xffff_ffff << (32 - length)) >>> 0;
}

/**
 * Which peer has an address, in both families: a hash table with open addressing, asked once for each prefix length in use, the
 * longest first. A flannel network has one length per family, so that looking up and changing cost the same from one subnet to
 * tens of thousands; only a table that outgrows its memory is copied once to one of twice the size. Looking up allocates nothing.
 */
export class PrefixTable {
  /** A power of two of buckets, at most half of them in use. */
  #buckets = new Uint32Array(LEAST_BUCKETS * BUCKET_WORDS);
  #last = LEAST_BUCKETS - 1;
  #size = 0;
  /** Prefixes of each length, of IPv4 (mapped) and of IPv6. */
  readonly #counts = [new Uint32Array(LENGTHS), new Uint32Array(LENGTHS)] as const;
  /** The lengths in use, longest first. */
  #lengths4: readonly number[] = [];
  #lengths6: readonly number[] = [];

  get size(): number {
    return this.#size;
  }

  /** Gives a prefix, whose host bits are 0, to a peer; takes it from the one that had it. */
  set(a: number, b: number, c: number, d: number, length: number, peer: number): void {
    if (2 * (this.#size + 1) > this.#last + 1) this.#grow();
    const at = this.#find(a, b, c, d, length);
    const buckets = this.#buckets;
    if (buckets[at + PEER] === 0) {
      this.#size++;
      this.#count(a, b, c, length, 1);
    }
    buckets[at] = a;
    buckets[at + 1] = b;
    buckets[at + 2] = c;
    buckets[at + 3] = d;
    buckets[at + LENGTH] = length;
    buckets[at + PEER] = peer;
  }

  delete(a: number, b: number, c: number, d: number, length: number): void {
    const at = this.#find(a, b, c, d, length);
    if (this.#buckets[at + PEER] === 0) return;
    this.#size--;
    this.#count(a, b, c, length, -1);
    this.#empty(at / BUCKET_WORDS);
  }

  /** The peer with the longest prefix that holds an IPv4 address, 0 when there is none. */
  lookup(ip: number): number {
    const lengths = this.#lengths4;
    for (let i = 0; i < lengths.length; i++) {
      const length = lengths[i]!;
      const masked = (ip & MASKS[length * 4 + 3]!) >>> 0;
      const peer = this.#buckets[this.#find(0, 0, MAPPED, masked, length) + PEER]!;
      if (peer !== 0) return peer;
    }
    return 0;
  }

  /** The same for the IPv6 address in the 16 bytes at `offset`. */
  lookup6(bytes: Uint8Array, offset: number): number {
    const a = wordAt(bytes, offset);
    const b = wordAt(bytes, offset + 4);
    const c = wordAt(bytes, offset + 8);
    const d = wordAt(bytes, offset + 12);
    const lengths = this.#lengths6;
    for (let i = 0; i < lengths.length; i++) {
      const length = lengths[i]!;
      const mask = length * 4;
      const at = this.#find(
        (a & MASKS[mask]!) >>> 0,
        (b & MASKS[mask + 1]!) >>> 0,
        (c & MASKS[mask + 2]!) >>> 0,
        (d & MASKS[mask + 3]!) >>> 0,
        length,
      );
      const peer = this.#buckets[at + PEER]!;
      if (peer !== 0) return peer;
    }
    return 0;
  }

  /** Offset of the bucket that holds this prefix, or that would. */
  #find(a: number, b: number, c: number, d: number, length: number): number {
    const buckets = this.#buckets;
    const last = this.#last;
    for (let bucket = hash(a, b, c, d, length) & last; ; bucket = (bucket + 1) & last) {
      const at = bucket * BUCKET_WORDS;
      if (buckets[at + PEER] === 0) return at;
      if (
        buckets[at + 3] === d &&
        buckets[at + 2] === c &&
        buckets[at + 1] === b &&
        buckets[at] === a &&
        buckets[at + LENGTH] === length
      ) {
        return at;
      }
    }
  }

  /** Empties a bucket and moves those behind it up that were not at their own place because of it (Knuth, volume 3, 6.4, R). */
  #empty(bucket: number): void {
    const buckets = this.#buckets;
    const last = this.#last;
    let hole = bucket;
    for (let next = (hole + 1) & last; buckets[next * BUCKET_WORDS + PEER] !== 0; next = (next + 1) & last) {
      const at = next * BUCKET_WORDS;
      const home =
        hash(buckets[at]!, buckets[at + 1]!, buckets[at + 2]!, buckets[at + 3]!, buckets[at + LENGTH]!) & last;
      if (((next - home) & last) < ((next - hole) & last)) continue;
      buckets.copyWithin(hole * BUCKET_WORDS, at, at + BUCKET_WORDS);
      hole = next;
    }
    buckets.fill(0, hole * BUCKET_WORDS, (hole + 1) * BUCKET_WORDS);
  }

  #grow(): void {
    const old = this.#buckets;
    this.#buckets = new Uint32Array(old.length * 2);
    this.#last = 2 * (this.#last + 1) - 1;
    for (let at = 0; at < old.length; at += BUCKET_WORDS) {
      if (old[at + PEER] === 0) continue;
      const to = this.#find(old[at]!, old[at + 1]!, old[at + 2]!, old[at + 3]!, old[at + LENGTH]!);
      for (let word = 0; word < BUCKET_WORDS; word++) this.#buckets[to + word] = old[at + word]!;
    }
  }

  #count(a: number, b: number, c: number, length: number, by: 1 | -1): void {
    const isIpv4 = length >= MAPPED_BITS && a === 0 && b === 0 && c === MAPPED;
    const counts = this.#counts[isIpv4 ? 0 : 1];
    counts[length]! += by;
    if (counts[length] !== (by === 1 ? 1 : 0)) return;
    const inUse = [...counts.keys()].filter((used) => counts[used] !== 0).reverse();
    if (isIpv4) this.#lengths4 = inUse;
    else this.#lengths6 = inUse;
  }
}

/** Subnets of a network differ in few bits, anywhere: the multiplications (Knuth) carry them to the others. */
function hash(a: number, b: number, c: number, d: number, length: number): number {
  let mixed = Math.imul(a ^ Math.imul(b, 0x9e37_79b1), 0x85eb_ca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 15) ^ Math.imul(c, 0xc2b2_ae35), 0x9e37_79b1);
  mixed = Math.imul(mixed ^ (mixed >>> 13) ^ d ^ (length << 24), 0x85eb_ca6b);
  return mixed ^ (mixed >>> 16);
}
