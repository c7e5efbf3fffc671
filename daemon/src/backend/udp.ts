/**
 * flannel's udp backend: a TUN device with the route to the whole network, and a table of who has which subnet for the
 * data path (pkg/backend/udp/udp_network_amd64.go). flannel's udp has no IPv6; here it is
 * carried inside and outside, and nodes that run flannel are sent none.
 */
import type { UdpConfig } from '@flannel-ts/flannel/backend-config';
import type { Lease, LeaseAttributes } from '@flannel-ts/flannel/lease';
import { type NetworkConfig, outerFamily } from '@flannel-ts/flannel/network-config';
import { carriesIpv6, outerFamilyOf, udpV6Data } from '@flannel-ts/flannel/udp-data';
import { type Family, familyName } from '@flannel-ts/inet/family';
import type { ExternalInterface } from '../underlay/select.ts';
import type { Backend, Desired, OwnNode } from './backend.ts';
import { Judgements } from './judgements.ts';
import { otherBackend, type PeerRules, selectPeers } from './peers.ts';
import { deviceAddresses, overlayOf, ownSubnets, probingOfDevices, routesInto } from './routes.ts';
import { familiesOf, mtuInside } from './underlay.ts';

export function createUdpBackend(config: NetworkConfig, { port }: UdpConfig): Backend {
  const outer = outerFamily(config);
  const memory = new Judgements<undefined>();
  return {
    type: 'udp',
    attributes: (external) => attributesOf(config, outer, external),
    mtu: (external) => udpMtu(config, outer, external),
    desired: (node, leases) => udpDesired(config, outer, port, node, leases, memory),
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

function udpMtu(config: NetworkConfig, outer: Family, external: ExternalInterface): number {
  return mtuInside(config, outer, familiesOf(config), external);
}

function udpDesired(
  config: NetworkConfig,
  outer: Family,
  port: UdpConfig['port'],
  node: OwnNode,
  leases: Iterable<Lease> | undefined,
  memory: Judgements<undefined>,
): Desired {
  const mtu = udpMtu(config, outer, node.external);
  const own = ownSubnets(config, node);
  const networks = own.map(({ network }) => network);
  const { peers, refused } = selectPeers(node, networks, rulesOf(outer), leases ?? [], memory);
  const overlay = overlayOf(own, mtu, peers);
  const { device } = node;
  const into = device === undefined ? undefined : { link: device };
  const known = leases === undefined ? undefined : overlay.peers;
  return {
    state: {
      links: device === undefined ? [] : [{ name: device, kind: 'tun', mtu, addresses: deviceAddresses(own) }],
      routes: own.flatMap((subnet) => routesInto(into, subnet, node, known)),
      superseded: overlay.peers,
      complete: leases !== undefined,
    },
    overlay,
    probing: probingOfDevices(own),
    devices: device === undefined ? {} : Object.fromEntries(own.map(({ family }) => [family, device])),
    transport: { listen: node.external.address, port },
    refused,
  };
}

/** flannel's nodes say nothing of IPv6 and carry none: that is how they are, and no fault. */
function rulesOf(outer: Family): PeerRules<undefined> {
  return {
    outer: () => outer,
    read: (attributes, { family: inner }) => {
      const other = otherBackend(attributes, 'udp');
      if (other !== undefined) return other;
      if (outerFamilyOf(attributes) !== outer) return `it is not reached by ${familyName(outer)} as this node is`;
      return inner === 6 && !carriesIpv6(attributes) ? undefined : { data: undefined };
    },
  };
}
