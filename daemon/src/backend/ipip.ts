/**
 * flannel's ipip backend: one IPIP device without a remote address, and a route for each peer by the peer's address
 * (pkg/backend/ipip/ipip.go). IPv4 only.
 */
import type { IpipConfig } from '@flannel-ts/flannel/backend-config';
import type { Lease } from '@flannel-ts/flannel/lease';
import type { NetworkConfig } from '@flannel-ts/flannel/network-config';
import { formatIp } from '@flannel-ts/inet/ip';
import type { Ipv4 } from '@flannel-ts/inet/ipv4';
import { DaemonError } from '../errors.ts';
import type { DesiredRoute } from '../state/desired.ts';
import { publicAddresses } from './attributes.ts';
import type { Backend, Desired, OwnNode } from './backend.ts';
import { mtuInside } from './mtu.ts';
import { otherBackend, overlayPeers, type PeerRules, selectPeers } from './peers.ts';
import { deviceAddresses, guardRoutes, overlayAddresses, ownSubnets, supersededRoutes } from './routes.ts';

const DEVICE = 'flannel.ipip';

export function createIpipBackend(config: NetworkConfig, { directRouting }: IpipConfig): Backend {
  return {
    type: 'ipip',
    attributes: (external) => ({ ...publicAddresses(config, external), backendType: 'ipip' }),
    mtu: (external) => mtuInside(config, 4, [4], external),
    desired: (node, leases) => ipipDesired(config, directRouting, node, leases),
  };
}

const RULES: PeerRules<undefined> = {
  outer: () => 4,
  read: (attributes) => otherBackend(attributes, 'ipip') ?? { data: undefined },
};

function ipipDesired(
  config: NetworkConfig,
  directRouting: boolean,
  node: OwnNode,
  leases: Iterable<Lease> | undefined,
): Desired {
  const own = ownSubnets(config, node);
  const networks = own.map(({ network }) => network);
  const mtu = mtuInside(config, 4, [4], node.external);
  const { peers, refused } = selectPeers(node, networks, RULES, leases ?? []);
  const toPeers = peers.map(({ subnet, peer }): DesiredRoute => {
    const direct = directRouting ? node.direct.get(peer) : undefined;
    if (direct !== undefined) return { type: 'unicast', dst: subnet, gateway: peer, link: direct };
    return { type: 'unicast', dst: subnet, gateway: peer, link: DEVICE, onlink: true };
  });
  return {
    state: {
      links: [{ kind: 'ipip', name: DEVICE, mtu, addresses: deviceAddresses(own), local: localOf(node) }],
      routes: [...networks.flatMap((network) => guardRoutes(network, node, peers)), ...toPeers],
      superseded: supersededRoutes(peers),
      complete: leases !== undefined,
    },
    overlay: { mtu, ...overlayAddresses(own), peers: overlayPeers(peers) },
    probing: { addresses: own.map(({ subnet }) => subnet.base), answers: 'device' },
    devices: { 4: DEVICE },
    refused,
  };
}

function localOf({ external }: OwnNode): Ipv4 {
  const local = external.addresses[4];
  if (local !== undefined) return local;
  throw new DaemonError(
    'NO_INTERFACE',
    `ipip runs between IPv4 addresses, and ${external.name} has ${formatIp(external.address)} only: ` +
      'add one to it, or choose another interface with -iface',
  );
}
