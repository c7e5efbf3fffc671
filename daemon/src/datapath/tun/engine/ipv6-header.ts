/** Judgement and change of an IPv6 header, RFC 8200: ipv4-header.ts for IPv6. */
import { word } from './ipv4-header.ts';
import { MALFORMED, PASS, TOO_SHORT, type Verdict } from './reasons.ts';

export const IPV6_HEADER = 40;
export const IPV6_SOURCE = 8;
export const IPV6_DESTINATION = 24;

export const NEXT_ICMPV6 = 58;
const NEXT_HOP_BY_HOP = 0;
const NEXT_ROUTING = 43;
const NEXT_FRAGMENT = 44;
const NEXT_DESTINATION = 60;

/** Extension headers that are skipped; nobody sends more in one packet. */
const MAX_EXTENSIONS = 8;

export function isIpv6(packet: Uint8Array, length: number): boolean {
  return length > 0 && packet[0]! >>> 4 === 6;
}

/** A packet of version 6 in the first `length` bytes. There is no header checksum; jumbograms (RFC 2675) count as malformed. */
export function checkHeader6(packet: Uint8Array, length: number): Verdict {
  if (length < IPV6_HEADER) return TOO_SHORT;
  // Bytes after the packet are allowed, as with IPv4; they are not passed on.
  return totalLength6(packet) > length ? MALFORMED : PASS;
}

// The following read a header that checkHeader6 let pass.

export function totalLength6(packet: Uint8Array): number {
  return IPV6_HEADER + word(packet, 4);
}

export function hopLimit(packet: Uint8Array): number {
  return packet[7]!;
}

/** One less; only for a hop limit above 0. */
export function decrementHopLimit(packet: Uint8Array): void {
  packet[7] = packet[7]! - 1;
}

/** Whether the 16 bytes at `offset` are this address. */
export function hasAddress6(packet: Uint8Array, offset: number, address: Uint8Array): boolean {
  for (let i = 0; i < 16; i++) if (packet[offset + i] !== address[i]) return false;
  return true;
}

/** Whether a next header is another extension header. */
export function isExtension(next: number): boolean {
  return next === NEXT_HOP_BY_HOP || next === NEXT_ROUTING || next === NEXT_FRAGMENT || next === NEXT_DESTINATION;
}

/** What is behind the extension headers. */
export interface UpperLayer {
  readonly protocol: number;
  /** Of its header; undefined where that is not in this packet: a later fragment, or the packet ends before it. */
  readonly offset: number | undefined;
}

export function upperLayer(packet: Uint8Array): UpperLayer {
  const end = totalLength6(packet);
  let protocol = packet[6]!;
  let offset = IPV6_HEADER;
  for (let count = 0; count < MAX_EXTENSIONS; count++) {
    if (!isExtension(protocol)) break;
    const isFragment = protocol === NEXT_FRAGMENT;
    if (offset + 8 > end) return { protocol, offset: undefined };
    const next = packet[offset]!;
    if (isFragment && word(packet, offset + 2) >>> 3 !== 0) return { protocol: next, offset: undefined };
    offset += isFragment ? 8 : (packet[offset + 1]! + 1) * 8;
    protocol = next;
  }
  return { protocol, offset: offset < end ? offset : undefined };
}
