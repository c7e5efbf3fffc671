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
  /** For packets of the family by which nodes reach each other. */
  readonly mtu: number;
  /** An address of the interface: where the tunnel's socket listens. */
  readonly address: Ip;
}

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
  readonly previous?: Ip | undefined;
}

/** By an address of the family by which nodes reach each other. Throws NO_INTERFACE when nothing matches. */
export function selectInterface(
  options: InterfaceOptions,
  outer: Family,
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
      if (fit.length > 0) return fit.find(({ address }) => address === context.previous) ?? fit[0]!;
      if (among === 'likely') reasons.push(`${flag}: ${choices[0]}`);
    }
  }
  throw new DaemonError('NO_INTERFACE', `Found no interface for the traffic between nodes (${reasons.join('; ')})`);
}

/** The interface that has this address now, whatever the flags say; undefined when no interface has it. */
export function describeInterface(
  address: Ip,
  facts: NodeFacts,
  search: SelectionContext & { readonly options: InterfaceOptions; readonly outer: Family },
): { readonly external: ExternalInterface; readonly up: boolean } | undefined {
  const link = withoutOverlay(facts, search).links.find(({ addresses }) =>
    addresses.some((entry) => entry.address === address && !entry.duplicate),
  );
  const external = link && usable({ link, address }, search.options, search.outer, search);
  if (link === undefined || typeof external !== 'object') return undefined;
  return { external, up: link.up };
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
  /** Given when it was this address that matched. */
  readonly address?: Ip;
}

interface Criterion {
  /** As the user wrote it. */
  readonly flag: string;
  /** Matches, best first, or the reason why there is none. */
  readonly find: (among: Among) => readonly Match[] | string;
}

/** The ways to find it, in flannel's order. */
function criteriaOf(options: InterfaceOptions, outer: Family, candidates: Candidates): Criterion[] {
  const { names, patterns, canReach, publicIp, publicIpv6 } = options;
  const all: Criterion[] = [];
  for (const name of names) all.push({ flag: `-iface=${name}`, find: () => byName(name, candidates) });
  for (const pattern of patterns) {
    all.push({ flag: `-iface-regex=${pattern.source}`, find: (among) => byPattern(pattern, outer, candidates, among) });
  }
  if (canReach !== undefined) {
    all.push({ flag: `-iface-can-reach=${formatIp(canReach)}`, find: () => byReach(candidates) });
  }
  if (all.length > 0) return all;
  const [flag, address] = outer === 4 ? ['-public-ip', publicIp] : ['-public-ipv6', publicIpv6];
  if (address !== undefined) {
    return [{ flag: `${flag}=${formatIp(address)}`, find: () => byAddress(address, candidates) }];
  }
  const route = outer === 4 ? 'default route' : 'IPv6 default route';
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
    if (found !== undefined) return [{ link, address }];
  }
  return 'no interface has this address';
}

/** First the addresses of all interfaces, then their names, then the addresses of the other family. */
function byPattern(pattern: Pattern, outer: Family, candidates: Candidates, among: Among): Match[] | string {
  const links = candidates.links.filter(({ overlayDevice }) => !overlayDevice);
  const isMeant = (unlikely: boolean) => unlikely === (among === 'unlikely');
  const byAddresses = (family: Family): Match[] =>
    links.flatMap((link) =>
      preferred(link, family)
        .filter(
          ({ address, inNetwork }) => isMeant(link.containerBridge || inNetwork) && pattern.test(formatIp(address)),
        )
        .map(({ address }) => ({ link, address })),
    );
  const named = links.filter((link) => isMeant(link.containerBridge) && pattern.test(link.name));
  const matches = [...byAddresses(outer), ...named.map((link) => ({ link })), ...byAddresses(outer === 4 ? 6 : 4)];
  return matches.length > 0 ? matches : 'no address or name of an interface matches';
}

function byReach(candidates: Candidates): Match[] | string {
  const { reachSource } = candidates.facts;
  return reachSource === undefined ? 'there is no route to it' : byAddress(reachSource, candidates);
}

function byDefaultRoute(outer: Family, { facts, links }: Candidates): Match[] | string {
  const indexes = facts.defaultRoutes[outer];
  if (indexes.length === 0) return 'there is none: name the interface with -iface';
  const found = indexes.flatMap((index) => links.filter((candidate) => candidate.index === index));
  return found.length === 0 ? 'its interface is gone' : found.map((link) => ({ link }));
}

/** An address of the other family only tells which interface is meant. */
function usable(
  { link, address }: Match,
  options: InterfaceOptions,
  outer: Family,
  { previous }: SelectionContext,
): ExternalInterface | string {
  if (link.overlayDevice) return `${link.name} belongs to the overlay itself`;
  const ipv4 = preferred(link, 4).map(({ address }) => address as Ipv4);
  const ipv6 = preferred(link, 6).map(({ address }) => address as Ipv6);
  const wanted = address !== undefined && familyOf(address) === outer ? address : undefined;
  const all = outer === 4 ? ipv4 : ipv6;
  const chosen = wanted ?? all.find((candidate) => candidate === previous) ?? all[0];
  if (chosen === undefined) return noAddress(link, outer);
  if (isIpv6(chosen) && isLinkLocal(chosen)) return `${formatIp(chosen)} is link-local: name an address like fd00::1`;
  const mtu = outer === 4 ? link.mtu : Math.min(link.mtu, link.ipv6Mtu ?? link.mtu);
  if (mtu === 0) return `interface ${link.name} has an MTU of 0`;
  const publicIp = options.publicIp ?? (isIpv6(chosen) ? ipv4[0] : chosen);
  const publicIpv6 = options.publicIpv6 ?? (isIpv6(chosen) ? chosen : ipv6[0]);
  return {
    name: link.name,
    index: link.index,
    mtu,
    address: chosen,
    ...(publicIp !== undefined && { publicIp }),
    ...(publicIpv6 !== undefined && { publicIpv6 }),
  };
}

function noAddress({ name, ofPods }: Candidate, outer: Family): string {
  const taken = ofPods.find(({ address }) => familyOf(address) === outer);
  if (taken !== undefined) return isOfPods(taken);
  return `interface ${name} has no usable ${familyName(outer)} address`;
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

/** Or, for link-local ones of IPv6, of this link: without its name they are no address to send to. */
function isOfThisHost(address: Ip): boolean {
  return isLoopback(address) || (isIpv6(address) && isLinkLocal(address));
}
