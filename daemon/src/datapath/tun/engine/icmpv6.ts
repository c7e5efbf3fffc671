/** ICMPv6 errors, RFC 4443: icmpv4.ts for IPv6. */
import { MIN_IPV6_MTU } from '@flannel-ts/inet/mtu';
import { fold, sumWords } from './checksum.ts';
import { putWord } from './ipv4-header.ts';
import { IPV6_DESTINATION, IPV6_HEADER, IPV6_SOURCE, NEXT_ICMPV6, totalLength6, upperLayer } from './ipv6-header.ts';
import type { RouterError } from './router-error.ts';

const PACKET_TOO_BIG = 2;

/** Type and code (RFC 4443), and the MTU of the next hop: no link has less than MIN_IPV6_MTU. */
function messageOf(error: RouterError): readonly [number, number, number] {
  if (error.about === 'no_route') return [1, 0, 0];
  return error.about === 'hops_exceeded' ? [3, 0, 0] : [PACKET_TOO_BIG, 0, Math.max(error.mtu, MIN_IPV6_MTU)];
}

const ICMPV6_HEADER = 8;
const HOP_LIMIT = 64;
const REDIRECT = 137;

/** RFC 4443 2.4 (e): not about errors and redirects, not from many hosts; about packets to many only that they are too big. */
export function deservesIcmpv6Error(packet: Uint8Array, error: RouterError): boolean {
  if (packet[IPV6_SOURCE] === 0xff || isNobody(packet, IPV6_SOURCE)) return false;
  if (packet[IPV6_DESTINATION] === 0xff && error.about !== 'too_big') return false;
  const { protocol, offset } = upperLayer(packet);
  if (protocol !== NEXT_ICMPV6) return true;
  if (offset === undefined) return false; // the type of its ICMP message is unknown
  return packet[offset]! >= 128 && packet[offset] !== REDIRECT;
}

/**
 * Writes the error about `offender`, which has passed checkHeader6, into `out` (MIN_IPV6_MTU bytes) and returns its length, or 0
 * when there must not be one. `from` has 16 bytes.
 */
export function writeIcmpv6Error(out: Uint8Array, offender: Uint8Array, error: RouterError, from: Uint8Array): number {
  if (!deservesIcmpv6Error(offender, error)) return 0;
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
  const [type, code, mtu] = messageOf(error);
  out[IPV6_HEADER] = type;
  out[IPV6_HEADER + 1] = code;
  putWord(out, IPV6_HEADER + 4, mtu >>> 16);
  putWord(out, IPV6_HEADER + 6, mtu & 0xffff);
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
