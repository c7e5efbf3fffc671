/**
 * flannel's host-gw backend: a route for each peer by the peer's own address, so that nodes have to be on one link
 * (pkg/backend/hostgw/hostgw.go, pkg/backend/route_network.go). Packets of pods travel as they are.
 */
import type { Lease, LeaseAttributes } from '@flannel-ts/flannel/lease';
import type { NetworkConfig } from '@flannel-ts/flannel/network-config';
import { type Family, familyName } from '@flannel-ts/inet/family';
import { formatIp, type Ip } from '@flannel-ts/inet/ip';
import { DaemonError } from '../errors.ts';
import type { DesiredRoute } from '../state/desired.ts';
import type { ExternalInterface } from '../underlay/select.ts';
import type { Backend, Desired, OwnNode } from './backend.ts';
import { Judgements } from './judgements.ts';
import { otherBackend, type PeerRules, selectPeers } from './peers.ts';
import { guardRoutes, overlayOf, ownSubnets } from './routes.ts';
import { familiesOf, mtuForAll, publicAddresses } from './underlay.ts';

export function createHostGwBackend(config: NetworkConfig): Backend {
  const memory = new Judgements<DesiredRoute>();
  return {
    type: 'host-gw',
    attributes: (external) => attributesOf(config, external),
    mtu: (external) => mtuForAll(config, external),
    desired: (node, leases) => hostGwDesired(config, node, leases, memory),
  };
}

/** Throws INVALID_CONFIG for public addresses that are not the interface's: no route can name them (flannel hostgw.go). */
function attributesOf(config: NetworkConfig, external: ExternalInterface): LeaseAttributes {
  for (const family of familiesOf(config)) checkOwnAddress(family, external);
  return { ...publicAddresses(config, external), backendType: 'host-gw' };
}

function checkOwnAddress(family: Family, { name, addresses, publicIp, publicIpv6 }: ExternalInterface): void {
  const told: Ip | undefined = family === 4 ? publicIp : publicIpv6;
  const own: Ip | undefined = addresses[family];
  if (told === own || told === undefined) return;
  throw new DaemonError(
    'INVALID_CONFIG',
    `host-gw routes to the nodes' own addresses, and the public ${familyName(family)} address ${formatIp(told)} is not that of ${name}` +
      `${own === undefined ? '' : ` (${formatIp(own)})`}: leave out -public-ip${family === 6 ? 'v6' : ''}, or use a backend that works behind a NAT`,
  );
}

function hostGwDesired(
  config: NetworkConfig,
  node: OwnNode,
  leases: Iterable<Lease> | undefined,
  memory: Judgements<DesiredRoute>,
): Desired {
  const own = ownSubnets(config, node);
  const networks = own.map(({ network }) => network);
  const { peers, refused } = selectPeers(node, networks, rulesOf(node), leases ?? [], memory);
  const overlay = overlayOf(own, mtuForAll(config, node.external), peers);
  const toPeers = peers.map(({ data }) => data);
  return {
    state: {
      links: [],
      routes: [...guardRoutes(own, node, overlay.peers), ...toPeers],
      superseded: overlay.peers,
      complete: leases !== undefined,
    },
    overlay,
    probing: { addresses: Object.values(node.external.addresses), answers: 'node' },
    devices: Object.fromEntries(own.map(({ family }) => [family, node.external.name])),
    refused,
  };
}

/** The data of a peer is the route to it, by the device on which it is a neighbour. */
function rulesOf({ direct }: OwnNode): PeerRules<DesiredRoute> {
  return {
    outer: (inner) => inner,
    read: (attributes, dst, peer) => {
      const other = otherBackend(attributes, 'host-gw');
      if (other !== undefined) return other;
      const link = direct.get(peer);
      if (link !== undefined) return { data: { type: 'unicast', dst, gateway: peer, link } };
      return (
        `its address ${formatIp(peer)} is on no link of this node's, which host-gw needs: ` +
        'put the nodes on one link, or use vxlan with DirectRouting'
      );
    },
  };
}
