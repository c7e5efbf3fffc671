import { MIN_IPV6_MTU } from '@flannel-ts/inet/mtu';
import type { Header } from './header.ts';
import { PROTOCOL_ICMP, source, word } from './ipv4-header.ts';
import { hasAddress6, IPV6_SOURCE, NEXT_ICMPV6 } from './ipv6-header.ts';
import type { OwnAddresses } from './own-addresses.ts';
import type { PrefixTable } from './prefix-table.ts';
import {
  ENCAPSULATION_LOOP,
  NO_ROUTE,
  PASS,
  SPOOFED_SOURCE,
  TOO_BIG,
  TTL_EXPIRED,
  UNKNOWN_PEER,
  type Verdict,
} from './reasons.ts';
import type { Tables } from './tables.ts';
import type { Underlay } from './underlay.ts';

/** The largest IPv4 datagram less its IPv4 and UDP headers. */
export const MAX_PAYLOAD = 65535 - 20 - 8;

const PROTOCOL_UDP = 17;
const ICMP_ECHO = 8;
const ICMPV6_ECHO = 128;

/**
 * Decides on a packet from the device: the number of the peer that it goes to, with its TTL already decremented, or a drop. A
 * dropped packet is left as it came, since an ICMP error quotes it.
 *
 * A packet above the MTU that may be fragmented passes: the kernel fragments the datagram around it, or the engine the packet
 * (largestPart). So does a probe above the limit of its path: it is there to find that the limit is no more.
 */
export function judgeOutgoing(
  packet: Uint8Array,
  length: number,
  header: Header,
  tables: Tables,
  mtu: number,
  own: OwnAddresses,
): Verdict {
  const broken = header.check(packet, length);
  if (broken !== PASS) return broken;
  if (isOwnDatagram(packet, header, tables.underlay)) return ENCAPSULATION_LOOP;
  const peer = header.destinationPeer(packet, tables.routes);
  if (peer === 0) return NO_ROUTE;
  if (header.hopsLeft(packet) <= 1) return TTL_EXPIRED;
  const largest = header.mayFragment(packet) ? MAX_PAYLOAD : largestPacket(tables.pathLimit(peer), mtu, header.family);
  const total = header.totalLength(packet);
  if (total > largest && !(total <= mtu && isProbe(packet, header, own))) return TOO_BIG;
  header.decrementHops(packet);
  return peer;
}

/**
 * The largest packet of a family that a path carries without fragments. IPv6 needs 1280 bytes on every link: on a narrower path the
 * datagram is fragmented instead.
 */
export function largestPacket(pathLimit: number, mtu: number, family: 4 | 6): number {
  if (pathLimit === 0 || pathLimit >= mtu) return mtu;
  return family === 6 ? Math.min(mtu, Math.max(pathLimit, MIN_IPV6_MTU)) : pathLimit;
}

/** The longest part that a packet is sent in: what is longer, and may be fragmented, is fragmented to that. */
export function largestPart(pathLimit: number, mtu: number, mayFragment: boolean): number {
  return mayFragment && pathLimit !== 0 && pathLimit < mtu ? pathLimit : MAX_PAYLOAD;
}

/**
 * Whether this is a datagram of an engine that the kernel routed back to the device, because its peer's address is inside the overlay.
 * Encapsulating it again would make a loop that no TTL ends: the outer header is new each time.
 */
function isOwnDatagram(packet: Uint8Array, header: Header, underlay: Underlay): boolean {
  if (header.family !== underlay.family) return false;
  const { protocol, offset } = header.transport(packet);
  if (protocol !== PROTOCOL_UDP) return false;
  if (offset !== undefined) {
    if (offset + 4 > header.totalLength(packet) || word(packet, offset + 2) !== underlay.port) return false;
  }
  return underlay.peerOfAddress(packet, header.destinationOffset) !== 0;
}

/** An echo request of this node itself, as operate/reach sends them. */
function isProbe(packet: Uint8Array, header: Header, own: OwnAddresses): boolean {
  if (!isFromUs(packet, header, own)) return false;
  const { protocol, offset } = header.transport(packet);
  if (offset === undefined) return false;
  return header.family === 4
    ? protocol === PROTOCOL_ICMP && packet[offset] === ICMP_ECHO
    : protocol === NEXT_ICMPV6 && packet[offset] === ICMPV6_ECHO;
}

/**
 * Decides on a packet that came in a datagram from the peer with the number `sender` (0: from a stranger): PASS, with its TTL
 * already decremented, or a drop that leaves it as it came. The second decrement of a packet's way is flannel's
 * (proxy_amd64.c, udp_to_tun), visible in traceroute.
 */
export function judgeIncoming(
  packet: Uint8Array,
  length: number,
  header: Header,
  sender: number,
  routes: PrefixTable,
  own: OwnAddresses,
  filterPeers: boolean,
): Verdict {
  if (filterPeers && sender === 0) return UNKNOWN_PEER;
  const broken = header.check(packet, length);
  if (broken !== PASS) return broken;
  // The device accepts its own address as source, for our ICMP errors: nobody else may use that.
  if (isFromUs(packet, header, own)) return SPOOFED_SOURCE;
  if (filterPeers && header.sourcePeer(packet, routes) !== sender) return SPOOFED_SOURCE;
  if (header.hopsLeft(packet) <= 1) return TTL_EXPIRED;
  header.decrementHops(packet);
  return PASS;
}

function isFromUs(packet: Uint8Array, { family }: Header, { tunAddress, tunAddress6 }: OwnAddresses): boolean {
  if (family === 4) return source(packet) === tunAddress;
  return tunAddress6 !== undefined && hasAddress6(packet, IPV6_SOURCE, tunAddress6);
}
