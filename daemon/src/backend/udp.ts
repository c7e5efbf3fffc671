/**
 * flannel's udp backend: a TUN device with the route to the whole network, and a table of who has which subnet for the
 * data path (pkg/backend/udp/udp_network_amd64.go). IPv6 is ours, inside and outside: flannel's has none, and a node of flannel's
 * gets none.
 */
import { backendOverhead, type UdpConfig } from '@flannel-ts/flannel/backend-config';
import type { Lease, LeaseAttributes, NodeAddresses } from '@flannel-ts/flannel/lease';
import { type NetworkConfig, outerFamily } from '@flannel-ts/flannel/network-config';
import { carriesIpv6, outerFamilyOf, udpV6Data } from '@flannel-ts/flannel/udp-data';
import type { Family } from '@flannel-ts/inet/family';
import type { Ip } from '@flannel-ts/inet/ip';
import { comparePrefixes, prefixesOverlap } from '@flannel-ts/inet/prefix';
import type { OverlayPeer } from '../datapath/datapath.ts';
import { DaemonError } from '../errors.ts';
import type { ExternalInterface } from '../underlay/select.ts';
import type { Backend, Desired, OwnNode } from './backend.ts';

/** RFC 8200, section 5. */
const MIN_IPV6_MTU = 1280;

export function createUdpBackend(config: NetworkConfig, { port }: UdpConfig): Backend {
  const outer = outerFamily(config);
  return {
    type: 'udp',
    outerFamily: outer,
    attributes: (external) => attributesOf(config, outer, external),
    mtu: (external) => mtuOf(config, outer, external),
    desired: (node, leases) => udpDesired(config, outer, port, node, leases),
  };
}

/**
 * No backend type, and no data but that for IPv6: flannel writes the lease of udp like that. Addresses are told of the families
 * that the network has, and of the one that nodes are reached by.
 */
function attributesOf(
  { pools }: NetworkConfig,
  outer: Family,
  { publicIp, publicIpv6 }: ExternalInterface,
): LeaseAttributes {
  return {
    ...((pools[4] || outer === 4) && publicIp !== undefined && { publicIp }),
    ...(pools[6] && publicIpv6 !== undefined && { publicIpv6 }),
    backendType: '',
    ...(pools[6] && { backendV6Data: udpV6Data(outer) }),
  };
}

function mtuOf(config: NetworkConfig, outer: Family, external: ExternalInterface): number {
  const overhead = backendOverhead('udp', outer);
  const mtu = external.mtu - overhead;
  // The kernel takes IPv6 off a device whose MTU is smaller.
  if (config.pools[6] && mtu < MIN_IPV6_MTU) {
    throw new DaemonError(
      'INVALID_CONFIG',
      `The MTU ${external.mtu} of ${external.name} leaves ${mtu} bytes inside the overlay, IPv6 needs ${MIN_IPV6_MTU}: ` +
        `set it to ${MIN_IPV6_MTU + overhead} or more${config.pools[4] ? ', or EnableIPv6 to false' : ''}`,
    );
  }
  return mtu;
}

function udpDesired(
  config: NetworkConfig,
  outer: Family,
  port: UdpConfig['port'],
  node: OwnNode,
  leases: Iterable<Lease>,
): Desired {
  const mtu = mtuOf(config, outer, node.external);
  const { 4: ipv4, 6: ipv6 } = config.pools;
  const address = ipv4 && node.subnet?.base;
  const address6 = ipv6 && node.ipv6Subnet?.base;
  const { device } = node;
  const families = [
    ...(ipv4 === undefined || address === undefined
      ? []
      : [{ address: { address, length: 32 }, network: ipv4.network }]),
    ...(ipv6 === undefined || address6 === undefined
      ? []
      : [{ address: { address: address6, length: 128 }, network: ipv6.network }]),
  ];
  const addresses = families.map((family) => family.address);
  return {
    state: {
      links: device === undefined ? [] : [{ name: device, kind: 'tun', mtu, addresses }],
      routes: device === undefined ? [] : families.map(({ network }) => ({ dst: network, link: device })),
    },
    overlay: {
      mtu,
      ...(address !== undefined && { address }),
      ...(address6 !== undefined && { address6 }),
      listen: node.external.address,
      port,
      peers: peersOf(node, outer, [...leases]),
    },
    refused: [],
  };
}

/**
 * Every lease but the own, whatever its BackendType: flannel does not look at it either. A node that is reached by the other
 * family only has no socket for ours. Nobody can be reached at the own address or at none, and a lease over the own subnet is
 * a mistake that must not take its packets.
 */
function peersOf(node: OwnNode, outer: Family, leases: readonly Lease[]): OverlayPeer[] {
  const own = node.subnet;
  const own6 = node.ipv6Subnet;
  const others = leases
    .filter(({ attributes }) => outerFamilyOf(attributes) === outer)
    .map((lease) => ({ lease, peer: addressOf(lease.attributes, outer) }))
    .filter((other): other is { lease: Lease; peer: Ip } => other.peer !== undefined)
    .filter(({ peer }) => peer !== addressOf(node.external, outer))
    .filter(({ lease: { subnet } }) => !(own && subnet && prefixesOverlap(subnet, own)));
  const ipv4 = others
    .flatMap(({ lease: { subnet }, peer }) => (own && subnet ? [{ subnet, peer }] : []))
    .sort((a, b) => comparePrefixes(a.subnet, b.subnet));
  const ipv6 = others
    .filter(({ lease: { attributes } }) => carriesIpv6(attributes))
    .flatMap(({ lease: { ipv6Subnet: subnet }, peer }) => (own6 && subnet ? [{ subnet, peer }] : []))
    .filter(({ subnet }) => !(own6 && prefixesOverlap(subnet, own6)))
    .sort((a, b) => comparePrefixes(a.subnet, b.subnet));
  return [...ipv4, ...ipv6];
}

function addressOf({ publicIp, publicIpv6 }: NodeAddresses, outer: Family): Ip | undefined {
  return outer === 4 ? publicIp : publicIpv6;
}
