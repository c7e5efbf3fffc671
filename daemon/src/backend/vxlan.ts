/**
 * flannel's vxlan backend: the kernel's VXLAN device of each family, and for each peer a permanent neighbour, a forwarding entry and
 * a route (pkg/backend/vxlan/vxlan.go, vxlan_network.go). Nothing of it needs this process to forward packets.
 */
import type { VxlanConfig } from '@flannel-ts/flannel/backend-config';
import type { Lease, LeaseAttributes } from '@flannel-ts/flannel/lease';
import type { NetworkConfig } from '@flannel-ts/flannel/network-config';
import { formatVxlanData, parseVxlanData } from '@flannel-ts/flannel/vxlan-data';
import { type Family, familyName } from '@flannel-ts/inet/family';
import type { Ip } from '@flannel-ts/inet/ip';
import type { Mac } from '@flannel-ts/inet/mac';
import type { Prefix } from '@flannel-ts/inet/prefix';
import { messageOf } from '../errors.ts';
import type { DesiredFdbEntry, DesiredLink, DesiredNeighbour, DesiredRoute } from '../state/desired.ts';
import type { ExternalInterface } from '../underlay/select.ts';
import type { Backend, Desired, Identity, OwnNode } from './backend.ts';
import { Judgements } from './judgements.ts';
import { describeCopy, otherBackend, type PeerRules, selectPeers, withoutDoubles } from './peers.ts';
import { deviceAddresses, guardRoutes, overlayOf, ownSubnets, probingOfDevices } from './routes.ts';
import { familiesOf, localAddress, mtuInside, publicAddresses } from './underlay.ts';

/** A VTEP that a peer publishes, and what leads to it. */
interface Vtep {
  readonly mac: Mac;
  readonly route: DesiredRoute;
  /** Absent for a peer that is reached without the device. */
  readonly entries?: { readonly neighbour: DesiredNeighbour; readonly fdb: DesiredFdbEntry };
}

export function createVxlanBackend(config: NetworkConfig, vxlan: VxlanConfig, identity: Identity): Backend {
  const macOf = (family: Family): Mac => identity.mac(deviceOf(vxlan, family));
  const memory = new Judgements<Vtep>();
  return {
    type: 'vxlan',
    attributes: (external) => attributesOf(config, vxlan, macOf, external),
    mtu: (external) => vxlanMtu(config, external),
    desired: (node, leases) => vxlanDesired(config, vxlan, macOf, node, leases, memory),
  };
}

/** Of the family with the larger outer header, where there are two devices. */
function vxlanMtu(config: NetworkConfig, external: ExternalInterface): number {
  return Math.min(...familiesOf(config).map((family) => mtuInside(config, family, [family], external)));
}

function deviceOf({ vni }: VxlanConfig, family: Family): string {
  return family === 4 ? `flannel.${vni}` : `flannel-v6.${vni}`;
}

function attributesOf(
  config: NetworkConfig,
  { vni }: VxlanConfig,
  macOf: (family: Family) => Mac,
  external: ExternalInterface,
): LeaseAttributes {
  const data = (family: Family) => formatVxlanData({ vni, vtepMac: macOf(family) });
  return {
    ...publicAddresses(config, external),
    backendType: 'vxlan',
    ...(config.pools[4] && { backendData: data(4) }),
    ...(config.pools[6] && { backendV6Data: data(6) }),
  };
}

function vxlanDesired(
  config: NetworkConfig,
  vxlan: VxlanConfig,
  macOf: (family: Family) => Mac,
  node: OwnNode,
  leases: Iterable<Lease> | undefined,
  memory: Judgements<Vtep>,
): Desired {
  const { external } = node;
  const own = ownSubnets(config, node);
  const networks = own.map(({ network }) => network);
  const selection = selectPeers(node, networks, rulesOf(vxlan, macOf, node), leases ?? [], memory);
  // Frames for a MAC address go to one node.
  const { peers, refused } = withoutDoubles(selection.peers, 'VtepMAC', ({ mac }) => mac);
  const overlay = overlayOf(own, vxlanMtu(config, external), peers);
  const entries = peers.map(({ data }) => data.entries).filter((some) => some !== undefined);
  return {
    state: {
      links: own.map((subnet): DesiredLink => {
        const { family } = subnet;
        return {
          kind: 'vxlan',
          name: deviceOf(vxlan, family),
          mtu: mtuInside(config, family, [family], external),
          addresses: deviceAddresses([subnet]),
          mac: macOf(family),
          vni: vxlan.vni,
          port: vxlan.port,
          parent: external.name,
          local: localAddress('vxlan', family, external),
          learning: vxlan.learning,
          gbp: vxlan.gbp,
        };
      }),
      neighbours: entries.map(({ neighbour }) => neighbour),
      fdb: entries.map(({ fdb }) => fdb),
      routes: [...guardRoutes(own, node, overlay.peers), ...peers.map(({ data }) => data.route)],
      superseded: overlay.peers,
      complete: leases !== undefined,
    },
    overlay,
    probing: probingOfDevices(own),
    devices: Object.fromEntries(own.map(({ family }) => [family, deviceOf(vxlan, family)])),
    refused: [...selection.refused, ...refused],
  };
}

function rulesOf(vxlan: VxlanConfig, macOf: (family: Family) => Mac, node: OwnNode): PeerRules<Vtep> {
  const { vni } = vxlan;
  return {
    outer: (inner) => inner,
    read: (attributes, subnet, peer) => {
      const other = otherBackend(attributes, 'vxlan');
      if (other !== undefined) return other;
      const value = subnet.family === 4 ? attributes.backendData : attributes.backendV6Data;
      if (value === undefined) return `it has no VTEP for ${familyName(subnet.family)}`;
      try {
        const data = parseVxlanData(value);
        // 0: flannel wrote no VNI before 2019.
        if (data.vni !== vni && data.vni !== 0) return `its VNI is ${data.vni}, this node's is ${vni}`;
        if (data.vtepMac === macOf(subnet.family)) return describeCopy(`VtepMAC ${data.vtepMac}`);
        const direct = vxlan.directRouting ? node.direct.get(peer) : undefined;
        return { data: vtepAt(deviceOf(vxlan, subnet.family), data.vtepMac, subnet, peer, direct) };
      } catch (error) {
        return messageOf(error);
      }
    },
  };
}

function vtepAt(link: string, mac: Mac, dst: Prefix, peer: Ip, direct: string | undefined): Vtep {
  if (direct !== undefined) return { mac, route: { type: 'unicast', dst, gateway: peer, link: direct } };
  return {
    mac,
    route: { type: 'unicast', dst, gateway: dst.base, link, onlink: true },
    entries: { neighbour: { link, address: dst.base, mac }, fdb: { link, mac, remote: peer } },
  };
}
