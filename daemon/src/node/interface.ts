/** Which interface carries the traffic between nodes, and by which address others reach this one (flannel pkg/ipmatch/match.go). */
import { formatIpv4, type Ipv4, isIpv4Text, isLinkLocalIpv4, isLoopbackIpv4, parseIpv4 } from '@flannel-ts/inet/ipv4';
import type { Ipv6 } from '@flannel-ts/inet/ipv6';
import { DaemonError } from '../errors.ts';
import type { InterfaceOptions } from '../options.ts';

export interface ExternalInterface {
  readonly name: string;
  readonly index: number;
  readonly mtu: number;
  /** An address of the interface: where the tunnel's socket listens. */
  readonly address: Ipv4;
  /** What the lease tells others; another one behind a NAT. */
  readonly publicIp: Ipv4;
  /** Told beside it where the interface has one; datagrams do not go there. */
  readonly publicIpv6?: Ipv6;
}

export interface LinkFacts {
  readonly name: string;
  readonly index: number;
  readonly mtu: number;
  readonly addresses: readonly AddressFacts[];
  /** Global ones that do not change. */
  readonly ipv6?: readonly Ipv6[];
}

export interface AddressFacts {
  readonly address: Ipv4;
  readonly permanent: boolean;
  readonly deprecated: boolean;
}

/** What selection needs to know of the node. */
export interface NodeFacts {
  readonly links: readonly LinkFacts[];
  /** Index of the interface of the best default route. */
  readonly defaultRouteIndex: number | undefined;
  /** The source address by which the address of -iface-can-reach is reached. */
  readonly reachSource: Ipv4 | undefined;
}

/** Throws NO_INTERFACE when nothing matches. */
export function selectInterface(options: InterfaceOptions, facts: NodeFacts): ExternalInterface {
  const reasons: string[] = [];
  for (const [what, find] of criteria(options, facts)) {
    const found = find();
    if (typeof found === 'string') {
      reasons.push(`${what}: ${found}`);
      continue;
    }
    const usable = describe(found, options);
    if (typeof usable !== 'string') return usable;
    reasons.push(`${what}: ${usable}`);
  }
  throw new DaemonError('NO_INTERFACE', `Found no interface for the traffic between nodes (${reasons.join('; ')})`);
}

interface Match {
  readonly link: LinkFacts;
  /** Given when it was this address that matched. */
  readonly address?: Ipv4;
}

/** The ways to find it, in flannel's order; each gives a match or the reason why not. */
function criteria(options: InterfaceOptions, facts: NodeFacts): [string, () => Match | string][] {
  const { names, patterns, canReach, publicIp } = options;
  const all: [string, () => Match | string][] = [];
  for (const name of names) all.push([`-iface=${name}`, () => byName(name, facts)]);
  for (const pattern of patterns) all.push([`-iface-regex=${pattern.source}`, () => byPattern(pattern, facts)]);
  if (canReach !== undefined) {
    all.push([`-iface-can-reach=${formatIpv4(canReach)}`, () => byReach(facts)]);
  }
  if (all.length > 0) return all;
  if (publicIp !== undefined) return [[`-public-ip=${formatIpv4(publicIp)}`, () => byAddress(publicIp, facts)]];
  return [['default route', () => byDefaultRoute(facts)]];
}

function byName(name: string, facts: NodeFacts): Match | string {
  if (isIpv4Text(name)) return byAddress(parseIpv4(name), facts);
  const link = facts.links.find((candidate) => candidate.name === name);
  return link === undefined ? 'there is no such interface' : { link };
}

function byAddress(address: Ipv4, facts: NodeFacts): Match | string {
  const link = facts.links.find((candidate) => candidate.addresses.some((other) => other.address === address));
  return link === undefined ? 'no interface has this address' : { link, address };
}

/** First the addresses of all interfaces, then their names. */
function byPattern(pattern: RegExp, facts: NodeFacts): Match | string {
  for (const link of facts.links) {
    const address = preferred(link).find((candidate) => pattern.test(formatIpv4(candidate)));
    if (address !== undefined) return { link, address };
  }
  const link = facts.links.find((candidate) => pattern.test(candidate.name));
  return link === undefined ? 'no address or name of an interface matches' : { link };
}

function byReach(facts: NodeFacts): Match | string {
  return facts.reachSource === undefined ? 'there is no route to it' : byAddress(facts.reachSource, facts);
}

function byDefaultRoute(facts: NodeFacts): Match | string {
  if (facts.defaultRouteIndex === undefined) return 'there is none: name the interface with -iface';
  const link = facts.links.find((candidate) => candidate.index === facts.defaultRouteIndex);
  return link === undefined ? 'its interface is gone' : { link };
}

function describe({ link, address }: Match, options: InterfaceOptions): ExternalInterface | string {
  const chosen = address ?? preferred(link)[0];
  if (chosen === undefined) return `interface ${link.name} has no usable IPv4 address`;
  if (link.mtu === 0) return `interface ${link.name} has an MTU of 0`;
  const { name, index, mtu } = link;
  const publicIpv6 = options.publicIpv6 ?? link.ipv6?.[0];
  return {
    name,
    index,
    mtu,
    address: chosen,
    publicIp: options.publicIp ?? chosen,
    ...(publicIpv6 !== undefined && { publicIpv6 }),
  };
}

/** Usable addresses, best first: global before link-local, permanent before dynamic; else in the kernel's order. */
function preferred(link: LinkFacts): Ipv4[] {
  const rank = ({ address, permanent }: AddressFacts) => (isLinkLocalIpv4(address) ? 2 : 0) + (permanent ? 0 : 1);
  return link.addresses
    .filter(({ address, deprecated }) => !deprecated && !isLoopbackIpv4(address))
    .sort((a, b) => rank(a) - rank(b))
    .map(({ address }) => address);
}
