/** Which interface carries the traffic between nodes, and by which address others reach this one (flannel pkg/ipmatch/match.go). */
import type { OuterMode } from '@flannel-ts/flannel/backend-config';
import type { NodeAddresses } from '@flannel-ts/flannel/lease';
import { formatIp, type Ip, isIpText, isIpv6, isLinkLocal, isLoopback, parseIp } from '@flannel-ts/inet/ip';
import type { Ipv4 } from '@flannel-ts/inet/ipv4';
import type { Ipv6 } from '@flannel-ts/inet/ipv6';
import { DaemonError } from '../errors.ts';

/** What the operator said about it; each absent or empty means nothing was said. */
export interface InterfaceOptions {
  readonly names: readonly string[];
  readonly patterns: readonly RegExp[];
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
  /** Where a router has asked for a smaller one for IPv6 (RFC 4861 4.6.4). */
  readonly ipv6Mtu?: number;
  /** Of both families, in the kernel's order. */
  readonly addresses: readonly AddressFacts[];
}

export interface AddressFacts {
  readonly address: Ip;
  readonly permanent: boolean;
  /** Not to be used for anything new, or not usable yet: deprecated, tentative, another host's. */
  readonly unfit: boolean;
  /** One of those that IPv6 hosts change every day, lest they be known again (RFC 8981). */
  readonly temporary?: boolean;
  /** The kernel still asks whether another host has it (RFC 4862 5.4). */
  readonly tentative?: boolean;
}

/** What selection needs to know of the node. */
export interface NodeFacts {
  readonly links: readonly LinkFacts[];
  /** Index of the interface of the best default route, of each family. */
  readonly defaultRoute: { readonly [M in OuterMode]: number | undefined };
  /** The source address by which the address of -iface-can-reach is reached. */
  readonly reachSource: Ip | undefined;
}

/** By an address of the family by which nodes reach each other. Throws NO_INTERFACE when nothing matches. */
export function selectInterface(options: InterfaceOptions, mode: OuterMode, facts: NodeFacts): ExternalInterface {
  const reasons: string[] = [];
  for (const [what, find] of criteria(options, mode, facts)) {
    const found = find();
    if (typeof found === 'string') {
      reasons.push(`${what}: ${found}`);
      continue;
    }
    const usable = describe(found, options, mode);
    if (typeof usable !== 'string') return usable;
    reasons.push(`${what}: ${usable}`);
  }
  throw new DaemonError('NO_INTERFACE', `Found no interface for the traffic between nodes (${reasons.join('; ')})`);
}

/** Whether selection may find more in a moment: a node that has just come up, or got an address. */
export function isSettling({ links }: NodeFacts): boolean {
  return links.some(({ addresses }) => addresses.some(({ tentative }) => tentative));
}

interface Match {
  readonly link: LinkFacts;
  /** Given when it was this address that matched. */
  readonly address?: Ip;
}

/** The ways to find it, in flannel's order; each gives a match or the reason why not. */
function criteria(
  { names, patterns, canReach, publicIp, publicIpv6 }: InterfaceOptions,
  mode: OuterMode,
  facts: NodeFacts,
): [string, () => Match | string][] {
  const all: [string, () => Match | string][] = [];
  for (const name of names) all.push([`-iface=${name}`, () => byName(name, facts)]);
  for (const pattern of patterns) all.push([`-iface-regex=${pattern.source}`, () => byPattern(pattern, mode, facts)]);
  if (canReach !== undefined) {
    all.push([`-iface-can-reach=${formatIp(canReach)}`, () => byReach(facts)]);
  }
  if (all.length > 0) return all;
  const [flag, address] = mode === 'ipv4' ? ['-public-ip', publicIp] : ['-public-ipv6', publicIpv6];
  if (address !== undefined) return [[`${flag}=${formatIp(address)}`, () => byAddress(address, facts)]];
  return [[mode === 'ipv4' ? 'default route' : 'default route of IPv6', () => byDefaultRoute(mode, facts)]];
}

function byName(name: string, facts: NodeFacts): Match | string {
  if (isIpText(name)) return byAddress(parseIp(name), facts);
  const link = facts.links.find((candidate) => candidate.name === name);
  return link === undefined ? 'there is no such interface' : { link };
}

function byAddress(address: Ip, facts: NodeFacts): Match | string {
  for (const link of facts.links) {
    const found = link.addresses.find((other) => other.address === address);
    if (found?.tentative) return 'the kernel still looks whether another host has it';
    if (found !== undefined) return { link, address };
  }
  return 'no interface has this address';
}

/** First the addresses of all interfaces, then their names, then the addresses of the other family. */
function byPattern(pattern: RegExp, mode: OuterMode, facts: NodeFacts): Match | string {
  const byAddresses = (family: OuterMode): Match | undefined => {
    for (const link of facts.links) {
      const address = preferred(link, family).find((candidate) => pattern.test(formatIp(candidate)));
      if (address !== undefined) return { link, address };
    }
    return undefined;
  };
  const named = facts.links.find((candidate) => pattern.test(candidate.name));
  const match = byAddresses(mode) ?? (named && { link: named }) ?? byAddresses(mode === 'ipv4' ? 'ipv6' : 'ipv4');
  return match ?? 'no address or name of an interface matches';
}

function byReach(facts: NodeFacts): Match | string {
  return facts.reachSource === undefined ? 'there is no route to it' : byAddress(facts.reachSource, facts);
}

function byDefaultRoute(mode: OuterMode, facts: NodeFacts): Match | string {
  const index = facts.defaultRoute[mode];
  if (index === undefined) return 'there is none: name the interface with -iface';
  const link = facts.links.find((candidate) => candidate.index === index);
  return link === undefined ? 'its interface is gone' : { link };
}

/** An address of the other family tells which interface is meant. */
function describe({ link, address }: Match, options: InterfaceOptions, mode: OuterMode): ExternalInterface | string {
  const [ipv4, ipv6] = [preferred(link, 'ipv4')[0] as Ipv4 | undefined, preferred(link, 'ipv6')[0] as Ipv6 | undefined];
  const wanted = address !== undefined && isIpv6(address) === (mode === 'ipv6') ? address : undefined;
  const chosen = wanted ?? (mode === 'ipv4' ? ipv4 : ipv6);
  if (chosen === undefined) return `interface ${link.name} has no usable ${mode === 'ipv4' ? 'IPv4' : 'IPv6'} address`;
  if (isIpv6(chosen) && isLinkLocal(chosen)) return `${formatIp(chosen)} is link-local: name an address like fd00::1`;
  const mtu = mode === 'ipv4' ? link.mtu : Math.min(link.mtu, link.ipv6Mtu ?? link.mtu);
  if (mtu === 0) return `interface ${link.name} has an MTU of 0`;
  const publicIp = options.publicIp ?? (isIpv6(chosen) ? ipv4 : chosen);
  const publicIpv6 = options.publicIpv6 ?? (isIpv6(chosen) ? chosen : ipv6);
  return {
    name: link.name,
    index: link.index,
    mtu,
    address: chosen,
    ...(publicIp !== undefined && { publicIp }),
    ...(publicIpv6 !== undefined && { publicIpv6 }),
  };
}

/** Usable addresses, best first: global before link-local, permanent before dynamic; else in the kernel's order. */
function preferred(link: LinkFacts, family: OuterMode): Ip[] {
  const rank = ({ address, permanent, temporary }: AddressFacts) =>
    (!isIpv6(address) && isLinkLocal(address) ? 4 : 0) + (temporary ? 2 : 0) + (permanent ? 0 : 1);
  return link.addresses
    .filter(({ address, unfit }) => !unfit && isIpv6(address) === (family === 'ipv6') && !isOfThisHost(address))
    .sort((a, b) => rank(a) - rank(b))
    .map(({ address }) => address);
}

/** Or, for link-local ones of IPv6, of this link: without its name they are no address to send to. */
function isOfThisHost(address: Ip): boolean {
  return isLoopback(address) || (isIpv6(address) && isLinkLocal(address));
}
