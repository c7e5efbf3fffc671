import { type Ip, isIpv6 } from '@flannel-ts/inet/ip';

/** An address as four numbers in network order, so that it crosses shared memory. IPv4 is mapped into IPv6 (RFC 4291 2.5.5.2). */
export type Words = readonly [number, number, number, number];

export const MAPPED = 0xffff;

export function wordsOf(address: Ip): Words {
  if (!isIpv6(address)) return [0, 0, MAPPED, address];
  const word = (shift: bigint): number => Number((address >> shift) & 0xffff_ffffn);
  return [word(96n), word(64n), word(32n), word(0n)];
}

export function isMapped(a: number, b: number, c: number): boolean {
  return a === 0 && b === 0 && c === MAPPED;
}

/** Bits of the mapping before an IPv4 address. */
export const MAPPED_BITS = 96;

/** Of the length of an IPv4 or IPv6 prefix in words: an IPv4 prefix begins behind the mapping. */
export function lengthInWords(family: 4 | 6, length: number): number {
  return family === 4 ? MAPPED_BITS + length : length;
}

/** In network order, unsigned. */
export function wordAt(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}

export function putWordAt(bytes: Uint8Array, at: number, word: number): void {
  bytes[at] = word >>> 24;
  bytes[at + 1] = word >>> 16;
  bytes[at + 2] = word >>> 8;
  bytes[at + 3] = word;
}
