import type { Ipv4 } from '@flannel-ts/inet/ipv4';
import { internetChecksum } from './checksum.ts';
import {
  destination,
  fragmentOffset,
  headerLength,
  IPV4_HEADER,
  PROTOCOL_ICMP,
  protocol,
  putAddress,
  putWord,
  source,
  totalLength,
} from './ipv4-header.ts';
import type { RouterError } from './router-error.ts';

/** Type and code (RFC 792, RFC 1812), and the MTU of the next hop (RFC 1191). */
function messageOf(error: RouterError): readonly [number, number, number] {
  if (error.about === 'no_route') return [3, 0, 0];
  return error.about === 'hops_exceeded' ? [11, 0, 0] : [3, 4, error.mtu];
}

/** RFC 1812 4.3.2.3: as much of the offender as fits, in at most 576 bytes altogether. */
export const MAX_ICMPV4_ERROR = 576;

const ICMP_HEADER = 8;
const TIME_TO_LIVE = 64; // RFC 1700; flannel sends 8
const PRECEDENCE_INTERNETWORK_CONTROL = 0xc0; // RFC 1812 4.3.2.5
const TOS_BITS = 0x1e;

/** ICMP types that ask or answer, and so may be answered by an error: echo, router discovery, timestamp, information, mask. */
const ICMP_QUERIES: ReadonlySet<number> = new Set([0, 8, 9, 10, 13, 14, 15, 16, 17, 18]);

/**
 * Whether an ICMP error may be sent about this packet, whose header checkHeader let pass: RFC 1122 3.2.2 and RFC 1812 4.3.2.7
 * forbid it about ICMP errors, fragments but the first, packets to many hosts and from no single host. Unknown ICMP types
 * count as errors, as in Linux.
 */
export function deservesIcmpv4Error(packet: Uint8Array): boolean {
  if (fragmentOffset(packet) !== 0) return false;
  if (!isSingleHost(source(packet)) || !isUnicast(destination(packet))) return false;
  if (protocol(packet) !== PROTOCOL_ICMP) return true;
  const header = headerLength(packet);
  return totalLength(packet) > header && ICMP_QUERIES.has(packet[header]!);
}

/**
 * Writes the ICMP error about `offender` into `out` (MAX_ICMPV4_ERROR bytes) and returns its length, or 0 when there must not
 * be one. `offender` has passed checkHeader.
 */
export function writeIcmpv4Error(
  out: Uint8Array,
  offender: Uint8Array,
  error: RouterError,
  from: Ipv4,
  identification: number,
): number {
  if (!deservesIcmpv4Error(offender)) return 0;
  const quoted = Math.min(totalLength(offender), MAX_ICMPV4_ERROR - IPV4_HEADER - ICMP_HEADER);
  const length = IPV4_HEADER + ICMP_HEADER + quoted;

  const [type, code, mtu] = messageOf(error);
  out[IPV4_HEADER] = type;
  out[IPV4_HEADER + 1] = code;
  out.fill(0, IPV4_HEADER + 2, IPV4_HEADER + ICMP_HEADER);
  putWord(out, IPV4_HEADER + 6, mtu);
  for (let i = 0; i < quoted; i++) out[IPV4_HEADER + ICMP_HEADER + i] = offender[i]!;
  putWord(out, IPV4_HEADER + 2, internetChecksum(out, IPV4_HEADER, ICMP_HEADER + quoted));

  out[0] = 0x45;
  out[1] = (offender[1]! & TOS_BITS) | PRECEDENCE_INTERNETWORK_CONTROL;
  putWord(out, 2, length);
  putWord(out, 4, identification & 0xffff);
  putWord(out, 6, 0);
  out[8] = TIME_TO_LIVE;
  out[9] = PROTOCOL_ICMP;
  putWord(out, 10, 0);
  putAddress(out, 12, from);
  putAddress(out, 16, source(offender));
  putWord(out, 10, internetChecksum(out, 0, IPV4_HEADER));
  return length;
}

/** Not multicast (224/4), reserved or limited broadcast (240/4): RFC 1112, RFC 919. Directed broadcasts cannot be recognized here. */
function isUnicast(ip: Ipv4): boolean {
  return ip >>> 28 < 0xe;
}

/** RFC 1812 5.3.7: a source that names one host; not this-network (0/8), loopback (127/8), multicast or broadcast. */
function isSingleHost(ip: Ipv4): boolean {
  const first = ip >>> 24;
  return first !== 0 && first !== 127 && isUnicast(ip);
}
