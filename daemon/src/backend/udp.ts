/**
 * flannel's udp backend: a TUN device with the route to the whole network, and a table of who has which subnet for the
 * engine (pkg/backend/udp/udp_network_amd64.go).
 */
import type { UdpConfig } from '@flannel-ts/flannel/backend-config';
import { UDP_OVERHEAD } from '@flannel-ts/flannel/defaults';
import type { Lease } from '@flannel-ts/flannel/lease';
import type { NetworkConfig } from '@flannel-ts/flannel/network-config';
import { comparePrefixes, prefixesOverlap, samePrefix } from '@flannel-ts/inet/prefix';
import type { EngineRoute } from '../engine/engine.ts';
import type { DesiredState } from '../state/desired.ts';
import type { Backend, OwnNode } from './backend.ts';

export function createUdpBackend(config: NetworkConfig, { port }: UdpConfig): Backend {
  return {
    // No backend type and no data: flannel writes the lease of udp like that.
    attributes: (external) => ({ publicIp: external.publicIp, backendType: '' }),
    mtu: (external) => external.mtu - UDP_OVERHEAD,
    desiredState: (node, leases) => udpState(config, port, node, leases),
  };
}

function udpState(
  config: NetworkConfig,
  port: UdpConfig['port'],
  node: OwnNode,
  leases: Iterable<Lease>,
): DesiredState {
  const mtu = node.external.mtu - UDP_OVERHEAD;
  const address = node.subnet.base;
  return {
    links: [{ name: node.device, kind: 'tun', mtu, addresses: [{ address, length: 32 }] }],
    routes: [{ dst: config.network, link: node.device }],
    tunnel: { mtu, address, listen: node.external.address, port, peers: peersOf(node, leases) },
  };
}

/**
 * Every lease but the own, whatever its BackendType: flannel does not look at it either. Nobody can be reached at the own
 * address or at 0.0.0.0 (an IPv6-only node), and a lease over the own subnet is a mistake that must not take its packets.
 */
function peersOf(node: OwnNode, leases: Iterable<Lease>): EngineRoute[] {
  return [...leases]
    .filter(({ subnet }) => !samePrefix(subnet, node.subnet) && !prefixesOverlap(subnet, node.subnet))
    .map(({ subnet, attributes }) => ({ subnet, peer: attributes.publicIp }))
    .filter(({ peer }) => peer !== node.external.publicIp && peer !== 0)
    .sort((a, b) => comparePrefixes(a.subnet, b.subnet));
}
