/** What routes have in common, whatever carries the packets. Pure. */
import type { NetworkConfig } from '@flannel-ts/flannel/network-config';
import { addressBits, FAMILIES, type Family } from '@flannel-ts/inet/family';
import { type Ip, isIpv4, isIpv6 } from '@flannel-ts/inet/ip';
import type { InterfaceAddress, Prefix } from '@flannel-ts/inet/prefix';
import type { Overlay, OverlayPeer } from '../datapath/datapath.ts';
import type { DesiredRoute } from '../state/desired.ts';
import { guardMetric } from '../state/guard.ts';
import type { OwnNode, Probing } from './backend.ts';
import type { SelectedPeer } from './judgements.ts';
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
function destinationsOf(network: Prefix, node: OwnNode, peers: readonly OverlayPeer[]): Prefix[] {
  if (!sharesUnderlay(network, node)) return [network];
  return peers.map(({ subnet }) => subnet).filter(({ family }) => family === network.family);
}

/**
 * Unreachable, behind every other route, and outliving this process: packets between pods must not leave by the default route while
 * there is no other.
 */
export function guardRoutes(
  own: readonly OwnSubnet[],
  node: OwnNode,
  peers: readonly OverlayPeer[] | undefined,
): DesiredRoute[] {
  return own.flatMap((subnet) => routesInto(undefined, subnet, node, peers));
}

/** The same, and before them what the overlay takes into one device, once there is a device and peers are known. */
export function routesInto(
  device: { readonly link: string; readonly scope?: 'link' } | undefined,
  { network }: OwnSubnet,
  node: OwnNode,
  peers: readonly OverlayPeer[] | undefined,
): DesiredRoute[] {
  const destinations = destinationsOf(network, node, peers ?? []);
  const metric = guardMetric(network);
  const guards = destinations.map((dst): DesiredRoute => ({ type: 'unreachable', dst, metric }));
  if (device === undefined || peers === undefined) return guards;
  return [...guards, ...destinations.map((dst): DesiredRoute => ({ type: 'unicast', dst, ...device }))];
}

/** Of one device for all families. */
export function deviceAddresses(own: readonly OwnSubnet[]): InterfaceAddress[] {
  return own.map(({ family, subnet }) => ({ address: subnet.base, length: addressBits(family) }) as InterfaceAddress);
}

/** This node's own address inside is the first of each subnet. */
export function overlayOf(own: readonly OwnSubnet[], mtu: number, peers: readonly SelectedPeer<unknown>[]): Overlay {
  const bases: Ip[] = own.map(({ subnet }) => subnet.base);
  const address = bases.find(isIpv4);
  const address6 = bases.find(isIpv6);
  return {
    mtu,
    ...(address !== undefined && { address }),
    ...(address6 !== undefined && { address6 }),
    peers: peers.map(({ peer }) => peer),
  };
}

/** Where each node has a device with the first address of its subnet. */
export function probingOfDevices(own: readonly OwnSubnet[]): Probing {
  return { addresses: own.map(({ subnet }) => subnet.base), answers: 'device' };
}
