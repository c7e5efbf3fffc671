/**
 * flannel's udp backend: a TUN device with the route to the whole network, and a table of who has which subnet for the
 * data path (pkg/backend/udp/udp_network_amd64.go). flannel's udp has no IPv6; here it is
 * carried inside and outside, and nodes that run flannel are sent none.
 */
import type { UdpConfig } from '@flannel-ts/flannel/backend-config';
import { backendOverhead } from '@flannel-ts/flannel/backend-needs';
import type { Lease, LeaseAttributes } from '@flannel-ts/flannel/lease';
import { type NetworkConfig, outerFamily } from '@flannel-ts/flannel/network-config';
import { udpV6Data } from '@flannel-ts/flannel/udp-data';
import type { Family } from '@flannel-ts/inet/family';
import { familyOf, type Ip } from '@flannel-ts/inet/ip';
import { MIN_IPV6_MTU } from '@flannel-ts/inet/mtu';
import type { InterfaceAddress, Prefix } from '@flannel-ts/inet/prefix';
import type { OverlayPeer } from '../datapath/datapath.ts';
import { DaemonError } from '../errors.ts';
import type { DesiredRoute } from '../state/desired.ts';
import { guardMetric } from '../state/guard.ts';
import type { ExternalInterface } from '../underlay/select.ts';
import type { Backend, Desired, OwnNode } from './backend.ts';
import { selectPeers, sharesUnderlay } from './peers.ts';

export function createUdpBackend(config: NetworkConfig, { port }: UdpConfig): Backend {
  const outer = outerFamily(config);
  return {
    type: 'udp',
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
  leases: Iterable<Lease> | undefined,
): Desired {
  const mtu = mtuOf(config, outer, node.external);
  const { 4: ipv4, 6: ipv6 } = config.pools;
  const address = ipv4 && node.subnet?.base;
  const address6 = ipv6 && node.ipv6Subnet?.base;
  const addresses: InterfaceAddress[] = [];
  const networks: Prefix[] = [];
  if (ipv4 !== undefined && address !== undefined) {
    addresses.push({ address, length: 32 });
    networks.push(ipv4.network);
  }
  if (ipv6 !== undefined && address6 !== undefined) {
    addresses.push({ address: address6, length: 128 });
    networks.push(ipv6.network);
  }
  const { peers, refused } = selectPeers(node, networks, outer, leases ?? []);
  const { device } = node;
  return {
    state: {
      links: device === undefined ? [] : [{ name: device, kind: 'tun', mtu, addresses }],
      routes: routesOf(node, networks, leases === undefined ? undefined : peers),
      // What flannel's host-gw, and vxlan with DirectRouting, leave behind when the cluster changes to udp.
      superseded: peers
        .filter(({ subnet, peer }) => subnet.family === familyOf<Ip>(peer))
        .map(({ subnet, peer }) => ({ dst: subnet, gateway: peer })),
      complete: leases !== undefined,
    },
    overlay: {
      mtu,
      ...(address !== undefined && { address }),
      ...(address6 !== undefined && { address6 }),
      peers,
    },
    devices:
      device === undefined
        ? {}
        : { ...(address !== undefined && { 4: device }), ...(address6 !== undefined && { 6: device }) },
    transport: { listen: node.external.address, port },
    refused,
  };
}

/**
 * Into the device what the overlay carries, as soon as that is known; behind it an unreachable route, which outlives this process:
 * packets between pods must not leave by the default route while there is no device.
 */
function routesOf(
  node: OwnNode,
  networks: readonly Prefix[],
  peers: readonly OverlayPeer[] | undefined,
): DesiredRoute[] {
  const { device } = node;
  return networks.flatMap((network): DesiredRoute[] => {
    const destinations = sharesUnderlay(network, node)
      ? (peers ?? []).map(({ subnet }) => subnet).filter(({ family }) => family === network.family)
      : [network];
    const metric = guardMetric(network);
    return [
      ...destinations.map((dst) => ({ type: 'unreachable', dst, metric }) as const),
      ...(device === undefined || peers === undefined
        ? []
        : destinations.map((dst) => ({ type: 'unicast', dst, link: device }) as const)),
    ];
  });
}
