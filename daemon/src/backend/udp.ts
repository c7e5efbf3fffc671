/**
 * flannel's udp backend: a TUN device with the route to the whole network, and a table of who has which subnet for the
 * engine (pkg/backend/udp/udp_network_amd64.go). IPv6 inside is ours: flannel's has none, and a node of flannel's gets none.
 */
import type { UdpConfig } from '@flannel-ts/flannel/backend-config';
import { UDP_OVERHEAD } from '@flannel-ts/flannel/defaults';
import type { Lease, LeaseAttributes } from '@flannel-ts/flannel/lease';
import type { NetworkConfig } from '@flannel-ts/flannel/network-config';
import { carriesIpv6, UDP_V6_DATA } from '@flannel-ts/flannel/udp-data';
import { compareIpv6Prefixes, ipv6PrefixesOverlap } from '@flannel-ts/inet/ipv6-prefix';
import { comparePrefixes, prefixesOverlap } from '@flannel-ts/inet/prefix';
import type { EngineRoute } from '../engine/engine.ts';
import { MIN_IPV6_MTU } from '../engine/icmp6.ts';
import { DaemonError } from '../errors.ts';
import type { ExternalInterface } from '../node/interface.ts';
import type { DesiredState } from '../state/desired.ts';
import type { Backend, OwnNode } from './backend.ts';

export function createUdpBackend(config: NetworkConfig, { port }: UdpConfig): Backend {
  return {
    attributes: (external) => attributesOf(config, external),
    mtu: (external) => mtuOf(config, external),
    desiredState: (node, leases) => udpState(config, port, node, leases),
  };
}

/** No backend type and no data: flannel writes the lease of udp like that. */
function attributesOf(config: NetworkConfig, { publicIp, publicIpv6 }: ExternalInterface): LeaseAttributes {
  return {
    publicIp,
    backendType: '',
    ...(config.ipv6 && { ...(publicIpv6 !== undefined && { publicIpv6 }), backendV6Data: UDP_V6_DATA }),
  };
}

function mtuOf(config: NetworkConfig, external: ExternalInterface): number {
  const mtu = external.mtu - UDP_OVERHEAD;
  // The kernel takes IPv6 off a device whose MTU is smaller.
  if (config.ipv6 && mtu < MIN_IPV6_MTU) {
    throw new DaemonError(
      'INVALID_CONFIG',
      `The MTU ${external.mtu} of ${external.name} leaves ${mtu} bytes inside the overlay, IPv6 needs ${MIN_IPV6_MTU}: ` +
        `set it to ${MIN_IPV6_MTU + UDP_OVERHEAD} or more, or EnableIPv6 to false`,
    );
  }
  return mtu;
}

function udpState(
  config: NetworkConfig,
  port: UdpConfig['port'],
  node: OwnNode,
  leases: Iterable<Lease>,
): DesiredState {
  const mtu = mtuOf(config, node.external);
  const { ipv6 } = config;
  const address = node.subnet.base;
  const address6 = ipv6 && node.ipv6Subnet?.base;
  const addresses = [{ address, length: 32 }, ...(address6 === undefined ? [] : [{ address: address6, length: 128 }])];
  const link = node.device;
  return {
    links: [{ name: link, kind: 'tun', mtu, addresses }],
    routes: [{ dst: config.network, link }, ...(ipv6 && address6 !== undefined ? [{ dst: ipv6.network, link }] : [])],
    tunnel: {
      mtu,
      address,
      ...(address6 !== undefined && { address6 }),
      listen: node.external.address,
      port,
      peers: peersOf(node, [...leases]),
    },
  };
}

/**
 * Every lease but the own, whatever its BackendType: flannel does not look at it either. Nobody can be reached at the own
 * address or at 0.0.0.0 (an IPv6-only node), and a lease over the own subnet is a mistake that must not take its packets.
 */
function peersOf(node: OwnNode, leases: readonly Lease[]): EngineRoute[] {
  const others = leases
    .filter(({ attributes: { publicIp } }) => publicIp !== node.external.publicIp && publicIp !== 0)
    .filter(({ subnet }) => !prefixesOverlap(subnet, node.subnet));
  const ipv4 = others
    .map(({ subnet, attributes }) => ({ subnet, peer: attributes.publicIp }))
    .sort((a, b) => comparePrefixes(a.subnet, b.subnet));
  const own = node.ipv6Subnet;
  if (own === undefined) return ipv4;
  const ipv6 = others
    .flatMap(({ ipv6Subnet, attributes }) =>
      ipv6Subnet === undefined || !carriesIpv6(attributes) ? [] : [{ subnet: ipv6Subnet, peer: attributes.publicIp }],
    )
    .filter(({ subnet }) => !ipv6PrefixesOverlap(subnet, own))
    .sort((a, b) => compareIpv6Prefixes(a.subnet, b.subnet));
  return [...ipv4, ...ipv6];
}
