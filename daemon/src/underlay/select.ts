/** Which interface carries the traffic between nodes, and by which address others reach this one (flannel pkg/ipmatch/match.go). */

import type { NodeAddresses } from '@flannel-ts/flannel/lease';
import { type Family, familyName } from '@flannel-ts/inet/family';
import { familyOf, formatIp, type Ip, isIpText, isIpv6, isLinkLocal, isLoopback, parseIp } from '@flannel-ts/inet/ip';
import type { Ipv4 } from '@flannel-ts/inet/ipv4';
import type { Ipv6 } from '@flannel-ts/inet/ipv6';
import { formatPrefix, type Prefix, prefixContains } from '@flannel-ts/inet/prefix';
import { DaemonError } from '../errors.ts';
import type { Pattern } from './go-regexp.ts';

/** The flags about it, in the order in which they count. */
export interface InterfaceOptions {
  readonly names: readonly string[];
  readonly patterns: readonly Pattern[];
  readonly canReach?: Ip;
  readonly publicIp?: Ipv4;
  readonly publicIpv6?: Ipv6;
}

/**
 * The public addresses are what the lease tells others, and other ones than the interface's behind a NAT; the one of the family
 * by which nodes reach each other is there in any case.
 */
export interface ExternalInterface extends NodeAddresses {
  readonly name: string;
  readonly index: number;
  /** For packets of the families by which nodes reach each other: the smallest. */
  readonly mtu: number;
  /** The interface's address of the first of these families: where the socket of the udp backend listens. */
  readonly address: Ip;
  /** The interface's addresses of all of these families: dual-stack backends of the kernel need both. */
  readonly addresses: AddressByFamily;
}

export interface AddressByFamily {
  readonly 4?: Ipv4;
  readonly 6?: Ipv6;
}

export function addressesOf({ addresses }: Pick<ExternalInterface, 'addresses'>): Ip[] {
  return [addresses[4], addresses[6]].filter((address) => address !== undefined);
}

/** By which nodes reach each other: the interface needs an address of each. The first one decides where flannel knows one only. */
export type OuterFamilies = readonly [Family, ...Family[]];

export interface LinkFacts {
  readonly name: string;
  readonly index: number;
  readonly mtu: number;
  readonly up: boolean;
  /** Where a router has asked for a smaller one for IPv6 (RFC 4861 4.6.4). */
  readonly ipv6Mtu?: number;
  /** Of both families, in the kernel's order. */
  readonly addresses: readonly AddressFacts[];
}

export interface AddressFacts {
  readonly address: Ip;
  /** IPv4: added to one that was there, or without a subnet of its own (/32), as virtual addresses of a fail-over are. */
  readonly secondary?: boolean;
  readonly permanent: boolean;
  /** Not to be used for anything new, or not usable yet: deprecated, tentative, another host's. */
  readonly unfit: boolean;
  /** One of those that IPv6 hosts change every day, lest they be known again (RFC 8981). */
  readonly temporary?: boolean;
  /** Another host has it (RFC 4862 5.4.5). */
  readonly duplicate?: boolean;
  /** The kernel still asks whether another host has it (RFC 4862 5.4). */
  readonly tentative?: boolean;
}

/** What selection needs to know of the node. */
export interface NodeFacts {
  readonly links: readonly LinkFacts[];
  /** Indexes of the interfaces with a default route, of each family, in the kernel's order of preference. */
  readonly defaultRoutes: { readonly [F in Family]: readonly number[] };
  /** The source address by which the address of -iface-can-reach is reached. */
  readonly reachSource: Ip | undefined;
}

/** What else decides: what the overlay has on this node, and what the node used before. */
export interface SelectionContext {
  /** Of pods: an address inside one comes last, since it is more likely a bridge's than the node's own. */
  readonly networks: readonly Prefix[];
  /** This node's subnets of pods, now or before: an address inside one is never the node's. */
  readonly subnets: readonly Prefix[];
  /** Used until now: kept when the same flag allows it, so that addresses that have come since change nothing. */
  readonly previous?: readonly Ip[];
}

/** Throws NO_INTERFACE when nothing matches. */
export function selectInterface(
  options: InterfaceOptions,
  outer: OuterFamilies,
  facts: NodeFacts,
  context: SelectionContext,
): ExternalInterface {
  const reasons: string[] = [];
  const criteria = criteriaOf(options, outer, withoutOverlay(facts, context));
  for (const among of ['likely', 'unlikely'] as const) {
    for (const { flag, find } of criteria) {
      const matches = find(among);
      const choices =
        typeof matches === 'string' ? [matches] : matches.map((match) => usable(match, options, outer, context));
      const fit = choices.filter((choice) => typeof choice !== 'string');
      if (fit.length > 0) return fit.find(({ address }) => context.previous?.includes(address)) ?? fit[0]!;
      if (among === 'likely') reasons.push(`${flag}: ${choices[0]}`);
    }
  }
  throw new DaemonError('NO_INTERFACE', `Found no interface for the traffic between nodes (${reasons.join('; ')})`);
}

/** The interface that has the address now, whatever the flags say; undefined when no interface has it, or not all families. */
export function describeInterface(
  { address, addresses }: Pick<ExternalInterface, 'address' | 'addresses'>,
  facts: NodeFacts,
  search: SelectionContext & { readonly options: InterfaceOptions; readonly outer: OuterFamilies },
): { readonly external: ExternalInterface; readonly up: boolean } | undefined {
  const has = (link: LinkFacts, wanted: Ip) =>
    link.addresses.some((entry) => entry.address === wanted && !entry.duplicate);
  const link = withoutOverlay(facts, search).links.find((candidate) => has(candidate, address));
  if (link === undefined) return undefined;
  const kept = addressesOf({ addresses }).filter((wanted) => has(link, wanted));
  const external = usable({ link, addresses: kept }, search.options, search.outer, search);
  return typeof external === 'object' ? { external, up: link.up } : undefined;
}

/** flannel0, flannel.1, flannel-wg, flannel.ipip, and the bridge of pods. */
const OVERLAY_DEVICE = /^(?:flannel[\d.-].*|cni0)$/;

/** Of Docker, Podman, containerd, libvirt, LXC and kube-proxy: they match patterns of private addresses, and reach nobody. */
const CONTAINER_BRIDGE =
  /^(?:docker\d+|docker_gwbridge|br-[\da-f]{12}|(?:cni-)?podman\d+|nerdctl\d+|virbr\d+|lxcbr\d+|lxdbr\d+|kube-ipvs0|nodelocaldns)$/;

interface CandidateAddress extends AddressFacts {
  /** Inside the network of pods, where an address of the node is possible but unlikely. */
  readonly inNetwork: boolean;
}

interface Candidate extends LinkFacts {
  readonly overlayDevice: boolean;
  readonly containerBridge: boolean;
  readonly addresses: readonly CandidateAddress[];
  /** Addresses of pods and their bridge, which are left out of `addresses`. */
  readonly ofPods: readonly { readonly address: Ip; readonly subnet: Prefix }[];
}

interface Candidates {
  readonly facts: NodeFacts;
  readonly links: readonly Candidate[];
}

function withoutOverlay(facts: NodeFacts, { networks, subnets }: SelectionContext): Candidates {
  const links = facts.links.map((link): Candidate => {
    const ofPods = link.addresses.flatMap(({ address }) => {
      const subnet = subnets.find((candidate) => prefixContains(candidate, address));
      return subnet === undefined ? [] : [{ address, subnet }];
    });
    const addresses = link.addresses
      .filter(({ address }) => !ofPods.some((other) => other.address === address))
      .map((entry) => ({ ...entry, inNetwork: networks.some((network) => prefixContains(network, entry.address)) }));
    return {
      ...link,
      addresses,
      ofPods,
      overlayDevice: OVERLAY_DEVICE.test(link.name),
      containerBridge: CONTAINER_BRIDGE.test(link.name),
    };
  });
  return { facts, links };
}

/** What a pattern matches although it is hardly meant can come at any time: it counts when nothing else matches any flag. */
type Among = 'likely' | 'unlikely';

interface Match {
  readonly link: Candidate;
  /** Those that matched, one of a family. */
  readonly addresses?: readonly Ip[];
}

interface Criterion {
  /** As the user wrote it. */
  readonly flag: string;
  /** Matches, best first, or the reason why there is none. */
  readonly find: (among: Among) => readonly Match[] | string;
}

/** The ways to find it, in flannel's order. */
function criteriaOf(options: InterfaceOptions, outer: OuterFamilies, candidates: Candidates): Criterion[] {
  const { names, patterns, canReach } = options;
  const all: Criterion[] = [];
  for (const name of names) all.push({ flag: `-iface=${name}`, find: () => byName(name, candidates) });
  for (const pattern of patterns) {
    all.push({ flag: `-iface-regex=${pattern.source}`, find: (among) => byPattern(pattern, outer, candidates, among) });
  }
  if (canReach !== undefined) {
    all.push({ flag: `-iface-can-reach=${formatIp(canReach)}`, find: () => byReach(candidates) });
  }
  if (all.length > 0) return all;
  for (const family of outer) {
    const [flag, address] =
      family === 4 ? ['-public-ip', options.publicIp] : (['-public-ipv6', options.publicIpv6] as const);
    if (address !== undefined) {
      return [{ flag: `${flag}=${formatIp(address)}`, find: () => byAddress(address, candidates) }];
    }
  }
  const route = outer[0] === 4 ? 'default route' : 'IPv6 default route';
  return [{ flag: route, find: () => byDefaultRoute(outer, candidates) }];
}

function byName(name: string, candidates: Candidates): Match[] | string {
  if (isIpText(name)) return byAddress(parseIp(name), candidates);
  const link = candidates.links.find((candidate) => candidate.name === name);
  return link === undefined ? 'there is no such interface' : [{ link }];
}

function byAddress(address: Ip, { links }: Candidates): Match[] | string {
  for (const link of links) {
    const ofPods = link.ofPods.find((other) => other.address === address);
    if (ofPods !== undefined) return isOfPods(ofPods);
    const found = link.addresses.find((other) => other.address === address);
    if (found?.tentative) return 'the kernel still checks whether another host has it';
    if (found !== undefined) return [{ link, addresses: [address] }];
  }
  return 'no interface has this address';
}

/**
 * First the addresses of all interfaces, then their names, then the addresses of a family that nodes do not use. Of two families,
 * flannel wants one pattern to match an address of each; here the second one may match, and need not.
 */
function byPattern(
  pattern: Pattern,
  [first, ...others]: OuterFamilies,
  candidates: Candidates,
  among: Among,
): Match[] | string {
  const links = candidates.links.filter(({ overlayDevice }) => !overlayDevice);
  const isMeant = (unlikely: boolean) => unlikely === (among === 'unlikely');
  const matching = (link: Candidate, family: Family): Ip[] =>
    preferred(link, family)
      .filter(({ address, inNetwork }) => isMeant(link.containerBridge || inNetwork) && pattern.test(formatIp(address)))
      .map(({ address }) => address);
  const byAddresses = (family: Family): Match[] =>
    links.flatMap((link) => {
      const more = others.flatMap((other) => matching(link, other).slice(0, 1));
      return matching(link, family).map((address) => ({ link, addresses: [address, ...more] }));
    });
  const named = links.filter((link) => isMeant(link.containerBridge) && pattern.test(link.name));
  const matches = [...byAddresses(first), ...named.map((link) => ({ link })), ...byAddresses(first === 4 ? 6 : 4)];
  return matches.length > 0 ? matches : 'no address or name of an interface matches';
}

function byReach(candidates: Candidates): Match[] | string {
  const { reachSource } = candidates.facts;
  return reachSource === undefined ? 'there is no route to it' : byAddress(reachSource, candidates);
}

/** Of two families: first the interfaces that have the default routes of both, the only ones that flannel accepts. */
function byDefaultRoute([first, ...others]: OuterFamilies, { facts, links }: Candidates): Match[] | string {
  const indexes = facts.defaultRoutes[first];
  if (indexes.length === 0) return 'there is none: name the interface with -iface';
  const isForAll = (index: number) => others.every((other) => facts.defaultRoutes[other].includes(index));
  const ordered = [...indexes.filter(isForAll), ...indexes.filter((index) => !isForAll(index))];
  const found = ordered.flatMap((index) => links.filter((candidate) => candidate.index === index));
  return found.length === 0 ? 'its interface is gone' : found.map((link) => ({ link }));
}

/** An address of another family only names the interface. */
function usable(
  { link, addresses: matched = [] }: Match,
  options: InterfaceOptions,
  outer: OuterFamilies,
  { previous = [] }: SelectionContext,
): ExternalInterface | string {
  if (link.overlayDevice) return `${link.name} belongs to the overlay itself`;
  const best = (family: Family): Ip | undefined => {
    const all = preferred(link, family).map(({ address }) => address);
    return all.find((address) => previous.includes(address)) ?? all[0];
  };
  const chosen: { 4?: Ip; 6?: Ip } = {};
  for (const family of outer) {
    const address = matched.find((candidate) => familyOf(candidate) === family) ?? best(family);
    if (address === undefined) return noAddress(link, family);
    if (isIpv6(address) && isLinkLocal(address)) {
      return `${formatIp(address)} is link-local: name an address like fd00::1`;
    }
    chosen[family] = address;
  }
  const mtu = Math.min(...outer.map((family) => (family === 4 ? link.mtu : (link.ipv6Mtu ?? link.mtu))), link.mtu);
  if (mtu === 0) return `interface ${link.name} has an MTU of 0`;
  const addresses = chosen as AddressByFamily;
  const publicIp = options.publicIp ?? addresses[4] ?? (best(4) as Ipv4 | undefined);
  const publicIpv6 = options.publicIpv6 ?? addresses[6] ?? (best(6) as Ipv6 | undefined);
  return {
    name: link.name,
    index: link.index,
    mtu,
    address: addresses[outer[0]]!,
    addresses,
    ...(publicIp !== undefined && { publicIp }),
    ...(publicIpv6 !== undefined && { publicIpv6 }),
  };
}

function noAddress({ name, ofPods }: Candidate, family: Family): string {
  const taken = ofPods.find(({ address }) => familyOf(address) === family);
  if (taken !== undefined) return isOfPods(taken);
  return `interface ${name} has no usable ${familyName(family)} address`;
}

function isOfPods({ address, subnet }: Candidate['ofPods'][number]): string {
  return `${formatIp(address)} is inside ${formatPrefix(subnet)}, this node's subnet of pods`;
}

/**
 * Usable addresses, best first: outside the network of pods, global before link-local, permanent before dynamic; else in the
 * kernel's order. flannel's order but for the first and for secondary addresses, which come last among the global ones: they may
 * move to another node.
 */
function preferred(link: Candidate, family: Family): CandidateAddress[] {
  const rank = ({ address, inNetwork, permanent, temporary, secondary }: CandidateAddress) =>
    (inNetwork ? 16 : 0) +
    (!isIpv6(address) && isLinkLocal(address) ? 8 : 0) +
    (secondary ? 4 : 0) +
    (temporary ? 2 : 0) +
    (permanent ? 0 : 1);
  return link.addresses
    .filter(({ address, unfit }) => !unfit && familyOf(address) === family && !isOfThisHost(address))
    .sort((a, b) => rank(a) - rank(b));
}

/** Or, for IPv6 link-local ones, of this link: without its name they are no address to send to. */
function isOfThisHost(address: Ip): boolean {
  return isLoopback(address) || (isIpv6(address) && isLinkLocal(address));
}
