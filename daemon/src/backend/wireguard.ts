/**
 * flannel's wireguard backend: one device of the kernel for both families, or one for each, with every other node as a peer
 * (pkg/backend/wireguard/wireguard.go, wireguard_network.go).
 */
import type { WireguardConfig } from '@flannel-ts/flannel/backend-config';
import type { Lease, LeaseAttributes, NodeAddresses } from '@flannel-ts/flannel/lease';
import type { NetworkConfig } from '@flannel-ts/flannel/network-config';
import { formatWireguardData, parseWireguardData } from '@flannel-ts/flannel/wireguard-data';
import type { Family } from '@flannel-ts/inet/family';
import { familyOf, type Ip } from '@flannel-ts/inet/ip';
import type { Port } from '@flannel-ts/inet/port';
import { type Prefix, parsePrefix, prefixContains } from '@flannel-ts/inet/prefix';
import { publicKeyOf } from '@flannel-ts/wireguard/key';
import { messageOf } from '../errors.ts';
import type { DesiredLink, WireguardPeer } from '../state/desired.ts';
import type { ExternalInterface } from '../underlay/select.ts';
import type { Backend, Desired, Identity, OwnNode } from './backend.ts';
import { Judgements, type SelectedPeer } from './judgements.ts';
import { describeCopy, otherBackend, type PeerRules, selectPeers, withoutDoubles } from './peers.ts';
import { deviceAddresses, overlayOf, ownSubnets, probingOfDevices, routesInto } from './routes.ts';
import { mtuForAll, publicAddresses } from './underlay.ts';

/** What a peer publishes, as far as it concerns one of its subnets. */
interface PeerData {
  readonly publicKey: string;
  readonly port: Port;
}

interface Device {
  readonly name: string;
  readonly port: Port;
  /** Those that it carries. */
  readonly inner: readonly Family[];
}

export function createWireguardBackend(config: NetworkConfig, wireguard: WireguardConfig, identity: Identity): Backend {
  const memory = new Judgements<PeerData>();
  return {
    type: 'wireguard',
    attributes: (external) => attributesOf(config, wireguard, identity, external),
    mtu: (external) => mtuForAll(config, external),
    desired: (node, leases) => wireguardDesired(config, wireguard, identity, node, leases, memory),
  };
}

function devicesOf({ mode, listenPort, listenPortV6 }: WireguardConfig, families: readonly Family[]): Device[] {
  if (mode !== 'separate') return [{ name: 'flannel-wg', port: listenPort, inner: families }];
  return families.map((family) =>
    family === 4
      ? { name: 'flannel-wg', port: listenPort, inner: [4] }
      : { name: 'flannel-wg-v6', port: listenPortV6, inner: [6] },
  );
}

function attributesOf(
  config: NetworkConfig,
  wireguard: WireguardConfig,
  identity: Identity,
  external: ExternalInterface,
): LeaseAttributes {
  const publicKey = publicKeyOf(identity.wireguardKey());
  const { mode, listenPort, listenPortV6 } = wireguard;
  // Where the device really receives: flannel writes ListenPortV6 of one device for both families, too, and is not reached there.
  const portV6 = mode === 'separate' ? listenPortV6 : listenPort;
  return {
    ...publicAddresses(config, external),
    // Over IPv6 alone or IPv4 alone, the address of that family is needed whatever is inside.
    ...(mode === 'ipv4' && external.publicIp !== undefined && { publicIp: external.publicIp }),
    ...(mode === 'ipv6' && external.publicIpv6 !== undefined && { publicIpv6: external.publicIpv6 }),
    backendType: 'wireguard',
    ...(config.pools[4] && { backendData: formatWireguardData({ publicKey, port: listenPort }) }),
    ...(config.pools[6] && { backendV6Data: formatWireguardData({ publicKey, port: portV6 }) }),
  };
}

function wireguardDesired(
  config: NetworkConfig,
  wireguard: WireguardConfig,
  identity: Identity,
  node: OwnNode,
  leases: Iterable<Lease> | undefined,
  memory: Judgements<PeerData>,
): Desired {
  const own = ownSubnets(config, node);
  const networks = own.map(({ network }) => network);
  const mtu = mtuForAll(config, node.external);
  const privateKey = identity.wireguardKey();
  const rules = rulesOf(wireguard, publicKeyOf(privateKey), node);
  const selection = selectPeers(node, networks, rules, leases ?? [], memory);
  // What a peer's key opens is sent to one node.
  const { peers, refused } = withoutDoubles(selection.peers, 'public key', ({ publicKey }) => publicKey);
  const overlay = overlayOf(own, mtu, peers);
  const devices = devicesOf(
    wireguard,
    own.map(({ family }) => family),
  );
  const known = leases === undefined ? undefined : overlay.peers;
  return {
    state: {
      links: devices.map(
        (device): DesiredLink => ({
          kind: 'wireguard',
          name: device.name,
          mtu,
          addresses: deviceAddresses(own.filter(({ family }) => device.inner.includes(family))),
          port: device.port,
          privateKey,
          peers: peersOf(wireguard, device, peers),
        }),
      ),
      routes: own.flatMap((subnet) => {
        const { name: link } = devices.find(({ inner }) => inner.includes(subnet.family))!;
        return routesInto({ link, ...(subnet.family === 4 && { scope: 'link' }) }, subnet, node, known);
      }),
      superseded: overlay.peers,
      complete: leases !== undefined,
    },
    overlay,
    probing: probingOfDevices(own),
    devices: Object.fromEntries(devices.flatMap(({ name, inner }) => inner.map((family) => [family, name]))),
    refused: [...selection.refused, ...refused],
  };
}

/** A node is one peer of a device, with all of its subnets that the device carries. */
function peersOf(
  { psk, persistentKeepaliveInterval }: WireguardConfig,
  { inner }: Device,
  selected: readonly SelectedPeer<PeerData>[],
): WireguardPeer[] {
  const byKey = new Map<string, { each: SelectedPeer<PeerData>; allowedIps: Prefix[] }>();
  for (const each of selected) {
    const { subnet } = each.peer;
    if (!inner.includes(subnet.family)) continue;
    const found = byKey.get(each.data.publicKey);
    if (found === undefined) byKey.set(each.data.publicKey, { each, allowedIps: [subnet] });
    else found.allowedIps.push(subnet);
  }
  return [...byKey.values()].map(({ each: { peer, data }, allowedIps }) => ({
    publicKey: data.publicKey,
    endpoint: { address: peer.peer, port: data.port },
    ...(psk !== undefined && { presharedKey: psk }),
    keepalive: persistentKeepaliveInterval,
    allowedIps,
  }));
}

function rulesOf(wireguard: WireguardConfig, ownKey: string, node: OwnNode): PeerRules<PeerData> {
  return {
    outer: (inner, lease) => outerOf(wireguard, inner, node.external, lease ?? node.external),
    read: (attributes, { family: inner }, peer) => {
      const other = otherBackend(attributes, 'wireguard');
      if (other !== undefined) return other;
      try {
        const data = parseWireguardData(dataOf(attributes, inner));
        if (data.publicKey === ownKey) return describeCopy('public key');
        const outer = familyOf(peer);
        const port = outer === inner ? data.port : portIn(dataOf(attributes, outer));
        return { data: { publicKey: data.publicKey, port: portOf(wireguard, outer, port) } };
      } catch (error) {
        return messageOf(error);
      }
    },
  };
}

/** By `auto`, as flannel decides (wireguard_network.go, selectMode). */
function outerOf({ mode }: WireguardConfig, inner: Family, own: NodeAddresses, peer: NodeAddresses): Family {
  if (mode === 'separate') return inner;
  if (mode !== 'auto') return mode === 'ipv4' ? 4 : 6;
  if (peer.publicIpv6 === undefined) return 4;
  if (peer.publicIp === undefined) return 6;
  if (!isPrivate(peer.publicIp) && own.publicIp !== undefined) return 4;
  return own.publicIpv6 !== undefined && !isPrivate(peer.publicIpv6) && !isPrivate(own.publicIpv6) ? 6 : 4;
}

function dataOf({ backendData, backendV6Data }: LeaseAttributes, family: Family): unknown {
  return family === 4 ? backendData : backendV6Data;
}

function portIn(data: unknown): Port | undefined {
  return data === undefined ? undefined : parseWireguardData(data).port;
}

/** Nodes of older versions say none. */
function portOf({ mode, listenPort, listenPortV6 }: WireguardConfig, outer: Family, said: Port | undefined): Port {
  const own = mode === 'separate' && outer === 6 ? listenPortV6 : listenPort;
  // flannel says ListenPortV6 where its one device receives at ListenPort.
  return said === undefined || (mode !== 'separate' && said === listenPortV6) ? own : said;
}

/** flannel's list (pkg/ip/ipnet.go, ip6net.go, IsPrivate). */
const PRIVATE = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7'].map((text) => parsePrefix(text));

function isPrivate(ip: Ip): boolean {
  return PRIVATE.some((prefix) => prefixContains(prefix, ip));
}
