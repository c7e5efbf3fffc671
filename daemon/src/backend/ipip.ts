/**
 * flannel's ipip backend: one IPIP device without a remote address, and a route for each peer by the peer's address
 * (pkg/backend/ipip/ipip.go). IPv4 only.
 */
import type { IpipConfig } from '@flannel-ts/flannel/backend-config';
import type { Lease } from '@flannel-ts/flannel/lease';
import type { NetworkConfig } from '@flannel-ts/flannel/network-config';
import type { DesiredRoute } from '../state/desired.ts';
import type { Backend, Desired, OwnNode } from './backend.ts';
import { Judgements } from './judgements.ts';
import { otherBackend, type PeerRules, selectPeers } from './peers.ts';
import { deviceAddresses, guardRoutes, overlayOf, ownSubnets, probingOfDevices } from './routes.ts';
import { localAddress, mtuInside, publicAddresses } from './underlay.ts';

const DEVICE = 'flannel.ipip';

export function createIpipBackend(config: NetworkConfig, { directRouting }: IpipConfig): Backend {
  const memory = new Judgements<DesiredRoute>();
  return {
    type: 'ipip',
    attributes: (external) => ({ ...publicAddresses(config, external), backendType: 'ipip' }),
    mtu: (external) => mtuInside(config, 4, [4], external),
    desired: (node, leases) => ipipDesired(config, directRouting, node, leases, memory),
  };
}

/** The data of a peer is the route to it. */
function rulesOf(directRouting: boolean, node: OwnNode): PeerRules<DesiredRoute> {
  return {
    outer: () => 4,
    read: (attributes, dst, peer) => {
      const other = otherBackend(attributes, 'ipip');
      if (other !== undefined) return other;
      const direct = directRouting ? node.direct.get(peer) : undefined;
      if (direct !== undefined) return { data: { type: 'unicast', dst, gateway: peer, link: direct } };
      return { data: { type: 'unicast', dst, gateway: peer, link: DEVICE, onlink: true } };
    },
  };
}

function ipipDesired(
  config: NetworkConfig,
  directRouting: boolean,
  node: OwnNode,
  leases: Iterable<Lease> | undefined,
  memory: Judgements<DesiredRoute>,
): Desired {
  const own = ownSubnets(config, node);
  const networks = own.map(({ network }) => network);
  const mtu = mtuInside(config, 4, [4], node.external);
  const { peers, refused } = selectPeers(node, networks, rulesOf(directRouting, node), leases ?? [], memory);
  const overlay = overlayOf(own, mtu, peers);
  const toPeers = peers.map(({ data }) => data);
  return {
    state: {
      links: [
        {
          kind: 'ipip',
          name: DEVICE,
          mtu,
          addresses: deviceAddresses(own),
          local: localAddress('ipip', 4, node.external),
        },
      ],
      routes: [...guardRoutes(own, node, overlay.peers), ...toPeers],
      superseded: overlay.peers,
      complete: leases !== undefined,
    },
    overlay,
    probing: probingOfDevices(own),
    devices: { 4: DEVICE },
    refused,
  };
}
