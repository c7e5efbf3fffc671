/** ICMPv6 errors, RFC 4443: the IPv6 side of icmp.ts. */
import { fold, sumWords } from './checksum.ts';
import type { IcmpError } from './icmp.ts';
import { putWord } from './packet.ts';
import { IPV6_DESTINATION, IPV6_HEADER, IPV6_SOURCE, NEXT_ICMPV6, totalLength6, upperLayer } from './packet6.ts';

export const NO_ROUTE_6: IcmpError = { type: 1, code: 0, mtu: 0 };
export const HOP_LIMIT_EXCEEDED: IcmpError = { type: 3, code: 0, mtu: 0 };
const PACKET_TOO_BIG = 2;

export function packetTooBig(mtu: number): IcmpError {
  return { type: PACKET_TOO_BIG, code: 0, mtu };
}

/** RFC 8200 5: what every link carries. RFC 4443 2.4 (c): an error is no longer than that. */
export const MIN_IPV6_MTU = 1280;

const ICMPV6_HEADER = 8;
const HOP_LIMIT = 64;
const REDIRECT = 137;

/** RFC 4443 2.4 (e): not about errors and redirects, not from many hosts; about packets to many only that they are too big. */
export function deservesError6(packet: Uint8Array, error: IcmpError): boolean {
  if (packet[IPV6_SOURCE] === 0xff || isNobody(packet, IPV6_SOURCE)) return false;
  if (packet[IPV6_DESTINATION] === 0xff && error.type !== PACKET_TOO_BIG) return false;
  const { protocol, offset } = upperLayer(packet);
  if (protocol !== NEXT_ICMPV6) return true;
  if (offset === undefined) return false; // it cannot be told what it is
  return packet[offset]! >= 128 && packet[offset] !== REDIRECT;
}

/**
 * Writes the error about `offender`, which has passed checkHeader6, into `out` (MIN_IPV6_MTU bytes) and returns its length, or 0
 * when there must not be one. `from` has 16 bytes.
 */
export function writeIcmpError6(out: Uint8Array, offender: Uint8Array, error: IcmpError, from: Uint8Array): number {
  if (!deservesError6(offender, error)) return 0;
  const quoted = Math.min(totalLength6(offender), MIN_IPV6_MTU - IPV6_HEADER - ICMPV6_HEADER);
  const message = ICMPV6_HEADER + quoted;
  out.fill(0, 0, IPV6_HEADER + ICMPV6_HEADER);
  out[0] = 0x60;
  putWord(out, 4, message);
  out[6] = NEXT_ICMPV6;
  out[7] = HOP_LIMIT;
  for (let i = 0; i < 16; i++) {
    out[IPV6_SOURCE + i] = from[i]!;
    out[IPV6_DESTINATION + i] = offender[IPV6_SOURCE + i]!;
  }
  out[IPV6_HEADER] = error.type;
  out[IPV6_HEADER + 1] = error.code;
  putWord(out, IPV6_HEADER + 4, error.mtu >>> 16);
  putWord(out, IPV6_HEADER + 6, error.mtu & 0xffff);
  for (let i = 0; i < quoted; i++) out[IPV6_HEADER + ICMPV6_HEADER + i] = offender[i]!;
  putWord(out, IPV6_HEADER + 2, checksum6(out, NEXT_ICMPV6, IPV6_HEADER, message));
  return IPV6_HEADER + message;
}

/** Over the pseudo header of RFC 8200 8.1 and `length` bytes at `offset`, whose own checksum counts in: 0 when that is right. */
export function checksum6(packet: Uint8Array, protocol: number, offset: number, length: number): number {
  const addresses = sumWords(packet, IPV6_SOURCE, 32);
  return ~fold(addresses + length + protocol + sumWords(packet, offset, length)) & 0xffff;
}

function isNobody(packet: Uint8Array, offset: number): boolean {
  for (let i = 0; i < 16; i++) if (packet[offset + i] !== 0) return false;
  return true;
}
