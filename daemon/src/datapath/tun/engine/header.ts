/** What forwarding asks of a packet, in both families: ipv4-header.ts and ipv6-header.ts behind one set of names. */
import {
  checkHeader,
  decrementTimeToLive,
  destination,
  dontFragment,
  fragmentOffset,
  headerLength,
  protocol,
  source,
  timeToLive,
  totalLength,
} from './ipv4-header.ts';
import {
  checkHeader6,
  decrementHopLimit,
  hopLimit,
  IPV6_DESTINATION,
  IPV6_SOURCE,
  isIpv6,
  totalLength6,
  upperLayer,
} from './ipv6-header.ts';
import type { PrefixTable } from './prefix-table.ts';
import type { Verdict } from './reasons.ts';

const IPV4_DESTINATION = 16;

/** All but `check` read a packet that `check` let pass. */
export interface Header {
  readonly family: 4 | 6;
  /** PASS, or why the packet in the first `length` bytes is dropped. */
  check(packet: Uint8Array, length: number): Verdict;
  totalLength(packet: Uint8Array): number;
  hopsLeft(packet: Uint8Array): number;
  decrementHops(packet: Uint8Array): void;
  /** Whether a router may fragment it. */
  mayFragment(packet: Uint8Array): boolean;
  /** The peer that has the source or the destination, 0 for none. */
  sourcePeer(packet: Uint8Array, routes: PrefixTable): number;
  destinationPeer(packet: Uint8Array, routes: PrefixTable): number;
  readonly destinationOffset: number;
  /** The transport protocol, and where its header is: undefined in a later fragment, or where the packet ends before it. */
  transport(packet: Uint8Array): Transport;
}

export interface Transport {
  readonly protocol: number;
  readonly offset: number | undefined;
}

export const HEADER4: Header = {
  family: 4,
  check: checkHeader,
  totalLength,
  hopsLeft: timeToLive,
  decrementHops: decrementTimeToLive,
  mayFragment: (packet) => !dontFragment(packet),
  sourcePeer: (packet, routes) => routes.lookup(source(packet)),
  destinationPeer: (packet, routes) => routes.lookup(destination(packet)),
  destinationOffset: IPV4_DESTINATION,
  transport: (packet) => ({
    protocol: protocol(packet),
    offset: fragmentOffset(packet) === 0 ? headerLength(packet) : undefined,
  }),
};

export const HEADER6: Header = {
  family: 6,
  check: checkHeader6,
  totalLength: totalLength6,
  hopsLeft: hopLimit,
  decrementHops: decrementHopLimit,
  mayFragment: () => false,
  sourcePeer: (packet, routes) => routes.lookup6(packet, IPV6_SOURCE),
  destinationPeer: (packet, routes) => routes.lookup6(packet, IPV6_DESTINATION),
  destinationOffset: IPV6_DESTINATION,
  transport: upperLayer,
};

/** Where IPv6 is off, its packets are what is no IPv4. */
export function headerOf(packet: Uint8Array, length: number, ipv6: boolean): Header {
  return ipv6 && isIpv6(packet, length) ? HEADER6 : HEADER4;
}
