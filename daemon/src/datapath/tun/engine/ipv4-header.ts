import type { Ipv4 } from '@flannel-ts/inet/ipv4';
import { internetChecksum, updateChecksum } from './checksum.ts';
import { BAD_CHECKSUM, MALFORMED, NOT_IPV4, PASS, TOO_SHORT, type Verdict } from './reasons.ts';

/** RFC 791, 3.1: without options. */
export const IPV4_HEADER = 20;

export const PROTOCOL_ICMP = 1;

const FLAG_DONT_FRAGMENT = 0x4000;
const FRAGMENT_OFFSET = 0x1fff;

export function word(bytes: Uint8Array, offset: number): number {
  return (bytes[offset]! << 8) | bytes[offset + 1]!;
}

export function putWord(bytes: Uint8Array, offset: number, value: number): void {
  bytes[offset] = value >>> 8;
  bytes[offset + 1] = value;
}

export function address(bytes: Uint8Array, offset: number): Ipv4 {
  return (((bytes[offset]! << 24) | (bytes[offset + 1]! << 16) | (bytes[offset + 2]! << 8) | bytes[offset + 3]!) >>>
    0) as Ipv4;
}

export function putAddress(bytes: Uint8Array, offset: number, ip: Ipv4): void {
  bytes[offset] = ip >>> 24;
  bytes[offset + 1] = ip >>> 16;
  bytes[offset + 2] = ip >>> 8;
  bytes[offset + 3] = ip;
}

/** The checks of a forwarding router, RFC 1812 5.2.2, on the packet in the first `length` bytes. */
export function checkHeader(packet: Uint8Array, length: number): Verdict {
  if (length < IPV4_HEADER) return TOO_SHORT;
  if (packet[0]! >>> 4 !== 4) return NOT_IPV4;
  const header = headerLength(packet);
  const total = totalLength(packet);
  // Bytes after the packet are allowed (link padding); they are not passed on.
  if (header < IPV4_HEADER || total < header || total > length) return MALFORMED;
  return internetChecksum(packet, 0, header) === 0 ? PASS : BAD_CHECKSUM;
}

// The following read a header that checkHeader let pass.

export function headerLength(packet: Uint8Array): number {
  return (packet[0]! & 0x0f) << 2;
}

export function totalLength(packet: Uint8Array): number {
  return word(packet, 2);
}

export function dontFragment(packet: Uint8Array): boolean {
  return (word(packet, 6) & FLAG_DONT_FRAGMENT) !== 0;
}

/** In units of 8 bytes; more than 0 in every fragment but the first. */
export function fragmentOffset(packet: Uint8Array): number {
  return word(packet, 6) & FRAGMENT_OFFSET;
}

export function timeToLive(packet: Uint8Array): number {
  return packet[8]!;
}

export function protocol(packet: Uint8Array): number {
  return packet[9]!;
}

export function source(packet: Uint8Array): Ipv4 {
  return address(packet, 12);
}

export function destination(packet: Uint8Array): Ipv4 {
  return address(packet, 16);
}

/** One less, with the header checksum brought along. Only for a TTL above 0. */
export function decrementTimeToLive(packet: Uint8Array): void {
  const before = word(packet, 8); // TTL and protocol share a word
  packet[8] = packet[8]! - 1;
  putWord(packet, 10, updateChecksum(word(packet, 10), before, before - 0x100));
}
