import type { Ipv4 } from '@flannel-ts/inet/ipv4';
import {
  checkHeader,
  decrementTimeToLive,
  destination,
  dontFragment,
  source,
  timeToLive,
  totalLength,
} from './packet.ts';
import {
  checkHeader6,
  decrementHopLimit,
  hasAddress6,
  hopLimit,
  IPV6_DESTINATION,
  IPV6_SOURCE,
  totalLength6,
} from './packet6.ts';
import type { RouteTable } from './peers.ts';
import type { RouteTable6 } from './peers6.ts';
import { NO_ROUTE, PASS, SPOOFED_SOURCE, TOO_BIG, TTL_EXPIRED, UNKNOWN_PEER, type Verdict } from './reasons.ts';

/** The largest IPv4 datagram less its IPv4 and UDP headers. */
export const MAX_PAYLOAD = 65535 - 20 - 8;

/**
 * Decides on a packet from the device: the row of its route, with its TTL already decremented, or a drop. A dropped packet
 * is left as it came, since an ICMP error quotes it.
 *
 * A packet above the MTU that may be fragmented passes: the kernel fragments the datagram around it.
 */
export function judgeOutgoing(packet: Uint8Array, length: number, routes: RouteTable, mtu: number): Verdict {
  const header = checkHeader(packet, length);
  if (header !== PASS) return header;
  const row = routes.lookup(destination(packet));
  if (row < 0) return NO_ROUTE;
  if (timeToLive(packet) <= 1) return TTL_EXPIRED;
  const total = totalLength(packet);
  if (total > MAX_PAYLOAD || (total > mtu && dontFragment(packet))) return TOO_BIG;
  decrementTimeToLive(packet);
  return row;
}

/** The same for IPv6, where no router fragments. */
export function judgeOutgoing6(packet: Uint8Array, length: number, routes: RouteTable6, mtu: number): Verdict {
  const header = checkHeader6(packet, length);
  if (header !== PASS) return header;
  const row = routes.lookup(packet, IPV6_DESTINATION);
  if (row < 0) return NO_ROUTE;
  if (hopLimit(packet) <= 1) return TTL_EXPIRED;
  if (totalLength6(packet) > mtu) return TOO_BIG;
  decrementHopLimit(packet);
  return row;
}

/**
 * Decides on a packet that came in a datagram from the peer with the number `sender` (0: from a stranger): PASS, with its TTL already decremented, or a drop that leaves
 * it as it came. The second decrement of a packet's way is flannel's (proxy_amd64.c, udp_to_tun), visible in traceroute.
 */
export function judgeIncoming(
  packet: Uint8Array,
  length: number,
  sender: number,
  routes: RouteTable,
  tunAddress: Ipv4 | undefined,
  filterPeers: boolean,
): Verdict {
  if (filterPeers && sender === 0) return UNKNOWN_PEER;
  const header = checkHeader(packet, length);
  if (header !== PASS) return header;
  const inner = source(packet);
  // The device accepts its own address as source, for our ICMP errors: nobody else may use that.
  if (inner === tunAddress) return SPOOFED_SOURCE;
  if (filterPeers) {
    const row = routes.lookup(inner);
    if (row < 0 || routes.peer(row) !== sender) return SPOOFED_SOURCE;
  }
  if (timeToLive(packet) <= 1) return TTL_EXPIRED;
  decrementTimeToLive(packet);
  return PASS;
}

/** The same for IPv6. */
export function judgeIncoming6(
  packet: Uint8Array,
  length: number,
  sender: number,
  routes: RouteTable6,
  tunAddress: Uint8Array,
  filterPeers: boolean,
): Verdict {
  if (filterPeers && sender === 0) return UNKNOWN_PEER;
  const header = checkHeader6(packet, length);
  if (header !== PASS) return header;
  if (hasAddress6(packet, IPV6_SOURCE, tunAddress)) return SPOOFED_SOURCE;
  if (filterPeers) {
    const row = routes.lookup(packet, IPV6_SOURCE);
    if (row < 0 || routes.peer(row) !== sender) return SPOOFED_SOURCE;
  }
  if (hopLimit(packet) <= 1) return TTL_EXPIRED;
  decrementHopLimit(packet);
  return PASS;
}
