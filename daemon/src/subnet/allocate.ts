/** Which subnet a node takes, as a function of what is there (flannel: local_manager.go, tryAcquireLease and allocateSubnet). */
import { isSameNode, type LeaseSubnets, leaseSubnets, type NodeAddresses } from '@flannel-ts/flannel/lease';
import type { Ipv6NetworkConfig, NetworkConfig } from '@flannel-ts/flannel/network-config';
import type { Ipv4 } from '@flannel-ts/inet/ipv4';
import type { Ipv6 } from '@flannel-ts/inet/ipv6';
import { type Prefix, prefixesOverlap, samePrefix } from '@flannel-ts/inet/prefix';

/** What allocation has to know of a lease that exists. */
export type Occupied = LeaseSubnets & { readonly node: NodeAddresses };

export interface AllocationInput<T extends Occupied> {
  readonly config: SubnetRange;
  readonly occupied: readonly T[];
  readonly node: NodeAddresses;
  readonly previous?: Partial<LeaseSubnets>;
  /** From 0 to below 1, like Math.random. */
  readonly random: number;
}

export type SubnetRange = Ipv4Range & Pick<NetworkConfig, 'enableIpv4' | 'ipv6'>;
type Ipv4Range = Pick<NetworkConfig, 'subnetLength' | 'subnetMin' | 'subnetMax'>;

export type Allocation<T extends Occupied> = {
  /** Leases of this node that do not fit the config (any more): to be deleted. */
  readonly stale: readonly T[];
} & (
  | { readonly kind: 'reuse'; readonly existing: T }
  | { readonly kind: 'create'; readonly subnets: LeaseSubnets }
  | { readonly kind: 'none' }
);

/**
 * How many free subnets a node chooses from, so that nodes starting together seldom want the same one (flannel: 100).
 */
const CANDIDATES = 100;

export function allocateSubnet<T extends Occupied>(input: AllocationInput<T>): Allocation<T> {
  const { config, occupied } = input;
  const own = occupied.filter((lease) => isSameNode(lease.node, input.node));
  const stale = own.filter((lease) => !fitsConfig(config, lease));
  const fitting = own.filter((lease) => fitsConfig(config, lease));
  // Two leases of one node: the one it used last, so that its pods keep their addresses.
  const existing = fitting.find((lease) => isLast(lease, input.previous)) ?? fitting[0];
  if (existing !== undefined) return { stale, kind: 'reuse', existing };

  const taken = occupied.filter((lease) => !stale.includes(lease));
  // Where only IPv6 was added or taken away, a lease that does not fit any more has the subnet that the pods are in.
  const previous = { ...stale[0], ...input.previous };
  const subnet = config.enableIpv4 ? chooseIpv4(config, taken, previous.subnet, input.random) : undefined;
  const ipv6Subnet = config.ipv6 && chooseIpv6(config.ipv6, taken, previous.ipv6Subnet, input.random);
  const subnets = leaseSubnets(subnet, ipv6Subnet);
  if (subnets === undefined || !fitsConfig(config, subnets)) return { stale, kind: 'none' };
  return { stale, kind: 'create', subnets };
}

function isLast({ subnet, ipv6Subnet }: LeaseSubnets, previous: Partial<LeaseSubnets> = {}): boolean {
  if (subnet !== undefined) return previous.subnet !== undefined && samePrefix(subnet, previous.subnet);
  return previous.ipv6Subnet !== undefined && samePrefix(ipv6Subnet, previous.ipv6Subnet);
}

/** The families that the config has, and no other. */
export function fitsConfig(config: SubnetRange, { subnet, ipv6Subnet }: LeaseSubnets): boolean {
  if (config.enableIpv4 ? subnet === undefined || !fitsIpv4(config, subnet) : subnet !== undefined) return false;
  if (config.ipv6 === undefined || ipv6Subnet === undefined) return config.ipv6 === ipv6Subnet;
  return fitsIpv6(config.ipv6, ipv6Subnet);
}

function fitsIpv4(config: Ipv4Range, subnet: Prefix<4>): boolean {
  return subnet.length === config.subnetLength && subnet.base >= config.subnetMin && subnet.base <= config.subnetMax;
}

function fitsIpv6(config: Ipv6NetworkConfig, subnet: Prefix<6>): boolean {
  return subnet.length === config.subnetLength && subnet.base >= config.subnetMin && subnet.base <= config.subnetMax;
}

function chooseIpv4(
  config: Ipv4Range,
  taken: readonly Occupied[],
  previous: Prefix<4> | undefined,
  random: number,
): Prefix<4> | undefined {
  const used = taken.map((lease) => lease.subnet).filter((subnet) => subnet !== undefined);
  if (previous && fitsIpv4(config, previous) && !used.some((subnet) => prefixesOverlap(subnet, previous))) {
    return previous;
  }
  const free = freeSubnets(config, used, CANDIDATES);
  return free[Math.floor(random * free.length)];
}

function chooseIpv6(
  config: Ipv6NetworkConfig,
  taken: readonly Occupied[],
  previous: Prefix<6> | undefined,
  random: number,
): Prefix<6> | undefined {
  const used = taken.map((lease) => lease.ipv6Subnet).filter((subnet) => subnet !== undefined);
  if (previous && fitsIpv6(config, previous) && !used.some((subnet) => prefixesOverlap(subnet, previous))) {
    return previous;
  }
  const free = freeIpv6Subnets(config, used, CANDIDATES);
  return free[Math.floor(random * free.length)];
}

/** The first `count` free subnets from SubnetMin up. */
export function freeSubnets(config: Ipv4Range, used: readonly Prefix<4>[], count: number): Prefix<4>[] {
  const size = 2 ** (32 - config.subnetLength);
  // Sorted and walked together: one pass, also with thousands of leases.
  const sorted = [...used].sort((a, b) => a.base - b.base);
  const free: Prefix<4>[] = [];
  let next = 0;
  let coveredTo = -1;
  for (let base: number = config.subnetMin; base <= config.subnetMax && free.length < count; base += size) {
    for (; next < sorted.length && sorted[next]!.base < base + size; next++) {
      const subnet = sorted[next]!;
      coveredTo = Math.max(coveredTo, subnet.base + 2 ** (32 - subnet.length) - 1);
    }
    if (coveredTo < base) free.push({ family: 4, base: base as Ipv4, length: config.subnetLength });
  }
  return free;
}

/** The same for IPv6. */
export function freeIpv6Subnets(config: Ipv6NetworkConfig, used: readonly Prefix<6>[], count: number): Prefix<6>[] {
  const size = 1n << BigInt(128 - config.subnetLength);
  const sorted = [...used].sort((a, b) => (a.base < b.base ? -1 : a.base > b.base ? 1 : 0));
  const free: Prefix<6>[] = [];
  let next = 0;
  let coveredTo = -1n;
  for (let base: bigint = config.subnetMin; base <= config.subnetMax && free.length < count; base += size) {
    for (; next < sorted.length && sorted[next]!.base < base + size; next++) {
      const subnet = sorted[next]!;
      const last = subnet.base + (1n << BigInt(128 - subnet.length)) - 1n;
      if (last > coveredTo) coveredTo = last;
    }
    if (coveredTo < base) free.push({ family: 6, base: base as Ipv6, length: config.subnetLength });
  }
  return free;
}
