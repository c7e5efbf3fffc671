/**
 * Which leases become peers, and why others do not. Nothing that a lease says may make packets loop, flood or leave by a wrong
 * way: a peer whose address is reached through the overlay sends each packet round for ever (flannel issue 1433). Pure.
 */
import type { BackendType } from '@flannel-ts/flannel/backend-config';
import {
  formatLeaseSubnets,
  type Lease,
  type LeaseAttributes,
  type LeaseSubnets,
  type NodeAddresses,
  subnetsOf,
} from '@flannel-ts/flannel/lease';
import { type Family, familyName } from '@flannel-ts/inet/family';
import { formatIp, type Ip } from '@flannel-ts/inet/ip';
import {
  formatPrefix,
  type Prefix,
  parsePrefix,
  prefixContains,
  prefixCovers,
  prefixesOverlap,
} from '@flannel-ts/inet/prefix';
import type { OverlayPeer } from '../datapath/datapath.ts';
import { DaemonError } from '../errors.ts';
import type { OwnNode, RefusedLease } from './backend.ts';
import { Judgements, type SelectedPeer, type Selection } from './judgements.ts';
import { PrefixSet } from './prefix-set.ts';

/** Those of one family or both, as the network config has them. */
export type Networks = readonly Prefix[];

type Needs = Pick<OwnNode, 'external' | 'required'>;

/** What a backend demands of other nodes. `Data`: what it makes of one, beside its address, to send it packets. */
export interface PeerRules<Data> {
  /** The family of the addresses between which packets of this family travel; `lease` is the other node's. */
  readonly outer: (inner: Family, lease?: LeaseAttributes) => Family;
  /** A string is why packets of this family cannot be exchanged with the node; undefined, that it has none of them by design. */
  readonly read: (lease: LeaseAttributes, subnet: Prefix, peer: Ip) => { readonly data: Data } | string | undefined;
}

/** Of a lease that is no other node's. */
const NOTHING: Selection<never> = { peers: [], refused: [] };

/** Never the address of another host, with what they are. */
const NO_HOSTS: readonly (readonly [Prefix, string])[] = [
  [parsePrefix('0.0.0.0/8'), 'no address of a host'],
  [parsePrefix('127.0.0.0/8'), 'a loopback address'],
  [parsePrefix('224.0.0.0/4'), 'a multicast address'],
  [parsePrefix('240.0.0.0/4'), 'a reserved address'],
  [parsePrefix('::/128'), 'no address of a host'],
  [parsePrefix('::1/128'), 'a loopback address'],
  [parsePrefix('::ffff:0:0/96'), 'an IPv4 address written as IPv6'],
  [parsePrefix('fe80::/10'), 'a link-local address'],
  [parsePrefix('ff00::/8'), 'a multicast address'],
];

/**
 * Whether the network has addresses that the overlay itself needs: flannel's documentation has 10.0.0.0/8 on hosts of 10.x
 * (issues 112, 479). One route to the whole network would then take etcd and the other nodes away.
 */
export function sharesUnderlay(network: Prefix, { external, required }: Needs): boolean {
  return [...Object.values(external.addresses), ...required.map(({ address }) => address)].some((ip) =>
    prefixContains(network, ip),
  );
}

/** Throws INVALID_CONFIG for a subnet of this node that takes away what the overlay needs. */
export function checkOwnSubnets(node: LeaseSubnets & Needs): void {
  for (const subnet of subnetsOf(node)) {
    const reason = coversRequired(subnet, node);
    if (reason !== undefined) {
      throw new DaemonError(
        'INVALID_CONFIG',
        `The subnet ${formatPrefix(subnet)} of this node ${reason}: set SubnetMin and SubnetMax in the network config to a range without it`,
      );
    }
  }
}

/**
 * Every lease but the own: its subnets of the families that both nodes have. What `memory` has judged before is not judged again and
 * keeps its identity, as long as it depends on the same: with thousands of leases a change of one then costs little more than one.
 */
export function selectPeers<Data>(
  node: OwnNode,
  networks: Networks,
  rules: PeerRules<Data>,
  leases: Iterable<Lease>,
  memory = new Judgements<Data>(),
): Selection<Data> {
  const all = [...leases];
  const local = new Set(node.addresses);
  const shared = networks.filter((network) => sharesUnderlay(network, node));
  const context = { node, networks, shared, pods: podSubnets(node, shared, all), local, rules };
  const own = ownAddresses(node, rules);
  const peers: SelectedPeer<Data>[] = [];
  const refused: RefusedLease[] = [];
  // Where nodes have addresses inside the network, each lease may speak against another.
  const known = shared.length === 0 ? memory.under(node) : new Judgements<Data>();
  for (const lease of all) {
    const judgement = known.of(lease, node, () => judge(lease, context, own));
    peers.push(...judgement.peers);
    refused.push(...judgement.refused);
  }
  return { peers, refused };
}

function judge<Data>(
  lease: Lease,
  context: Context<Data>,
  own: readonly (readonly [Family, Ip | undefined])[],
): Selection<Data> {
  const { node, networks, rules } = context;
  if (isOwn(lease, node, own)) return NOTHING;
  const { attributes } = lease;
  const peers: SelectedPeer<Data>[] = [];
  const reasons = new Set<string>();
  for (const subnet of commonSubnets(lease, node)) {
    const outer = rules.outer(subnet.family, attributes);
    const peer = addressOf(attributes, outer);
    if (peer === undefined) {
      reasons.add(`it is not reached by ${familyName(outer)} as this node is`);
      continue;
    }
    const unreachable = whyUnreachable(peer, context);
    const read = unreachable ?? rules.read(attributes, subnet, peer);
    if (read === undefined) continue;
    const fault = whyUnusable(subnet, networks, node);
    if (typeof read === 'string') reasons.add(read);
    else if (fault !== undefined) reasons.add(`its subnet ${formatPrefix(subnet)} ${fault}`);
    else peers.push({ peer: overlayPeer(subnet, peer, attributes), lease, data: read.data });
  }
  return { peers, refused: [...reasons].map((reason) => ({ lease, reason })) };
}

/** Without what only the backend needs. */
function overlayPeer(subnet: Prefix, peer: Ip, { publicIp, publicIpv6 }: NodeAddresses): OverlayPeer {
  const node = publicIp ?? publicIpv6;
  return { subnet, peer, ...(node !== undefined && node !== peer && { node }) };
}

/** Those whose `value` no other node has: the first node that has it keeps it, since the kernel knows one place for each. */
export function withoutDoubles<Data>(
  selected: readonly SelectedPeer<Data>[],
  what: string,
  uniqueOf: (data: Data) => string,
): Selection<Data> {
  const owners = { 4: new Map<string, Ip>(), 6: new Map<string, Ip>() };
  const peers: SelectedPeer<Data>[] = [];
  const refused: RefusedLease[] = [];
  for (const candidate of selected) {
    const { lease, data } = candidate;
    const { subnet, peer } = candidate.peer;
    const value = uniqueOf(data);
    const ofFamily = owners[subnet.family];
    const owner = ofFamily.get(value) ?? peer;
    ofFamily.set(value, owner);
    // A node may have a second subnet, which is reached in the same way.
    if (owner === peer) peers.push(candidate);
    else refused.push({ lease, reason: `its ${what} ${value} is that of the node at ${formatIp(owner)}, too` });
  }
  return { peers, refused };
}

/** Of a peer with this node's own MAC address or key. */
export function describeCopy(what: string): string {
  return `its ${what} is this node's own: one of the two machines was copied from the other with its identity file`;
}

/** Why no packets are exchanged with a node of another type; undefined when it is of this one. udp and alloc are written as ''. */
export function otherBackend({ backendType }: LeaseAttributes, own: BackendType): string | undefined {
  const written = own === 'udp' || own === 'alloc' ? '' : own;
  if (backendType === written) return undefined;
  return `its backend is ${backendType === '' ? 'udp or alloc' : backendType}, this node's is ${own}`;
}

export function describeRefusal({ lease, reason }: RefusedLease): string {
  return `Refused the lease of ${formatLeaseSubnets(lease)}: ${reason}`;
}

interface Context<Data = unknown> {
  readonly node: OwnNode;
  readonly rules: PeerRules<Data>;
  readonly networks: Networks;
  /** Of these, those that share addresses with the underlay. */
  readonly shared: Networks;
  readonly pods: PrefixSet;
  readonly local: ReadonlySet<Ip>;
}

function whyUnreachable(peer: Ip, { node, networks, shared, pods, local }: Context): string | undefined {
  const said = `its public address ${formatIp(peer)}`;
  const odd = NO_HOSTS.find(([prefix]) => prefixContains(prefix, peer));
  if (odd !== undefined) return `${said} is ${odd[1]}`;
  if (local.has(peer) || peer === node.external.publicIp || peer === node.external.publicIpv6) {
    return `${said} is this node's own`;
  }
  const network = networks.find((candidate) => prefixContains(candidate, peer));
  if (network !== undefined && !shared.includes(network)) {
    return `${said} is inside the network ${formatPrefix(network)}, where packets to it would enter the overlay again`;
  }
  const subnet = pods.around(peer);
  if (subnet !== undefined) return `${said} is inside the subnet ${formatPrefix(subnet)}, which is for pods`;
  const tunnel = node.tunnelled.get(peer);
  if (tunnel !== undefined) return `${said} is reached through the tunnel ${tunnel}`;
  return undefined;
}

function whyUnusable(subnet: Prefix, networks: Networks, node: OwnNode): string | undefined {
  const network = networks.find(({ family }) => family === subnet.family);
  if (network === undefined || !prefixCovers(network, subnet)) {
    return `is outside the network${network === undefined ? '' : ` ${formatPrefix(network)}`}`;
  }
  const own = subnetsOf(node).find((other) => prefixesOverlap(other, subnet));
  if (own !== undefined) return `overlaps this node's own ${formatPrefix(own)}`;
  return coversRequired(subnet, node);
}

function coversRequired(subnet: Prefix, { external, required }: Needs): string | undefined {
  const own = Object.values(external.addresses).find((address) => prefixContains(subnet, address));
  if (own !== undefined) return `covers ${formatIp(own)}, this node's own address`;
  const covered = required.find(({ address }) => prefixContains(subnet, address));
  return covered && `covers ${formatIp(covered.address)}, an address of ${covered.what}`;
}

/** The subnets that have a place in a network with addresses of the underlay; those alone are not reached from outside. */
function podSubnets(node: OwnNode, shared: Networks, leases: readonly Lease[]): PrefixSet {
  const pods = new PrefixSet();
  if (shared.length === 0) return pods;
  for (const subnet of [...subnetsOf(node), ...leases.flatMap(subnetsOf)]) {
    if (shared.some((network) => prefixCovers(network, subnet)) && coversRequired(subnet, node) === undefined) {
      pods.add(subnet);
    }
  }
  return pods;
}

function commonSubnets({ subnet, ipv6Subnet }: Lease, own: OwnNode): Prefix[] {
  return [...(own.subnet && subnet ? [subnet] : []), ...(own.ipv6Subnet && ipv6Subnet ? [ipv6Subnet] : [])];
}

/** Those that this node's lease has, of the families by which nodes reach each other. */
function ownAddresses<Data>(node: OwnNode, rules: PeerRules<Data>): (readonly [Family, Ip | undefined])[] {
  const outer = new Set(subnetsOf(node).map(({ family }) => rules.outer(family)));
  return [...outer].map((family) => [family, addressOf(node.external, family)]);
}

/** flannel writes subnets that a node had before beside the present one: such a lease is another one. */
function isOwn(lease: Lease, node: OwnNode, own: readonly (readonly [Family, Ip | undefined])[]): boolean {
  const same = lease.subnet?.base === node.subnet?.base && lease.ipv6Subnet?.base === node.ipv6Subnet?.base;
  return same && own.every(([family, address]) => addressOf(lease.attributes, family) === address);
}

function addressOf({ publicIp, publicIpv6 }: NodeAddresses, outer: Family): Ip | undefined {
  return outer === 4 ? publicIp : publicIpv6;
}
