/** What routes have in common, whatever carries the packets. Pure. */
import type { NetworkConfig } from '@flannel-ts/flannel/network-config';
import { addressBits, FAMILIES, type Family } from '@flannel-ts/inet/family';
import { familyOf, type Ip, isIpv4, isIpv6 } from '@flannel-ts/inet/ip';
import type { InterfaceAddress, Prefix } from '@flannel-ts/inet/prefix';
import type { Overlay, OverlayPeer } from '../datapath/datapath.ts';
import type { DesiredRoute, SupersededRoute } from '../state/desired.ts';
import { guardMetric } from '../state/guard.ts';
import type { OwnNode } from './backend.ts';
import { sharesUnderlay } from './peers.ts';

export interface OwnSubnet {
  readonly family: Family;
  readonly subnet: Prefix;
  readonly network: Prefix;
}

/** Those that the network has and the lease, IPv4 first. */
export function ownSubnets({ pools }: NetworkConfig, node: OwnNode): OwnSubnet[] {
  return FAMILIES.flatMap((family) => {
    const subnet: Prefix | undefined = family === 4 ? node.subnet : node.ipv6Subnet;
    const pool = pools[family];
    return pool === undefined || subnet === undefined ? [] : [{ family, subnet, network: pool.network }];
  });
}

/**
 * What of a network the overlay takes: all, or its subnets one by one where the network has addresses that nodes themselves need.
 */
export function destinationsOf(network: Prefix, node: OwnNode, peers: readonly OverlayPeer[]): Prefix[] {
  if (!sharesUnderlay(network, node)) return [network];
  return peers.map(({ subnet }) => subnet).filter(({ family }) => family === network.family);
}

/**
 * Unreachable, behind every other route, and outliving this process: packets between pods must not leave by the default route while
 * there is no other.
 */
export function guardRoutes(network: Prefix, node: OwnNode, peers: readonly OverlayPeer[]): DesiredRoute[] {
  const metric = guardMetric(network);
  return destinationsOf(network, node, peers).map((dst) => ({ type: 'unreachable', dst, metric }));
}

/** Of one device for all families. */
export function deviceAddresses(own: readonly OwnSubnet[]): InterfaceAddress[] {
  return own.map(({ family, subnet }) => ({ address: subnet.base, length: addressBits(family) }) as InterfaceAddress);
}

/** This node's own inside: the first of each subnet. */
export function overlayAddresses(own: readonly OwnSubnet[]): Pick<Overlay, 'address' | 'address6'> {
  const bases: Ip[] = own.map(({ subnet }) => subnet.base);
  const address = bases.find(isIpv4);
  const address6 = bases.find(isIpv6);
  return { ...(address !== undefined && { address }), ...(address6 !== undefined && { address6 }) };
}

/**
 * What flannel makes for a peer: by the node's address (host-gw, DirectRouting; backend/route_network.go) or by its address in the
 * overlay (vxlan; backend/vxlan/vxlan_network.go).
 */
export function supersededRoutes(peers: readonly OverlayPeer[]): SupersededRoute[] {
  return peers.flatMap(({ subnet, peer }) => [
    ...(familyOf<Ip>(peer) === subnet.family ? [{ dst: subnet, gateway: peer }] : []),
    { dst: subnet, gateway: subnet.base },
  ]);
}
