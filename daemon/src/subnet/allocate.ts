/** Which subnet a node takes, as a function of what is there (flannel: local_manager.go, tryAcquireLease and allocateSubnet). */
import type { LeaseSubnets } from '@flannel-ts/flannel/lease';
import type { Ipv6NetworkConfig, NetworkConfig } from '@flannel-ts/flannel/network-config';
import type { Ipv4 } from '@flannel-ts/inet/ipv4';
import type { Ipv6 } from '@flannel-ts/inet/ipv6';
import { type Ipv6Prefix, ipv6PrefixesOverlap } from '@flannel-ts/inet/ipv6-prefix';
import { type Ipv4Prefix, prefixesOverlap, samePrefix } from '@flannel-ts/inet/prefix';

/** What allocation has to know of a lease that exists. */
export interface Occupied extends LeaseSubnets {
  readonly publicIp: Ipv4;
}

export interface AllocationInput<T extends Occupied> {
  readonly config: SubnetRange;
  readonly occupied: readonly T[];
  readonly publicIp: Ipv4;
  readonly previous?: Partial<LeaseSubnets>;
  /** From 0 to below 1, like Math.random. */
  readonly random: number;
}

export type SubnetRange = Pick<NetworkConfig, 'network' | 'subnetLength' | 'subnetMin' | 'subnetMax' | 'ipv6'>;

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
  const own = occupied.filter((lease) => lease.publicIp === input.publicIp);
  const stale = own.filter((lease) => !fitsConfig(config, lease));
  const fitting = own.filter((lease) => fitsConfig(config, lease));
  // Two leases of one node: the one it used last, so that its pods keep their addresses.
  const last = input.previous?.subnet;
  const existing = fitting.find((lease) => last && samePrefix(lease.subnet, last)) ?? fitting[0];
  if (existing !== undefined) return { stale, kind: 'reuse', existing };

  const taken = occupied.filter((lease) => !stale.includes(lease));
  // Where only IPv6 was added or taken away, a lease that does not fit any more has the subnet that the pods are in.
  const previous = { ...stale[0], ...input.previous };
  const subnet = chooseIpv4(config, taken, previous.subnet, input.random);
  if (subnet === undefined) return { stale, kind: 'none' };
  if (config.ipv6 === undefined) return { stale, kind: 'create', subnets: { subnet } };
  const ipv6Subnet = chooseIpv6(config.ipv6, taken, previous.ipv6Subnet, input.random);
  if (ipv6Subnet === undefined) return { stale, kind: 'none' };
  return { stale, kind: 'create', subnets: { subnet, ipv6Subnet } };
}

/** Both families, or only IPv4, as the config has it. */
export function fitsConfig(config: SubnetRange, { subnet, ipv6Subnet }: LeaseSubnets): boolean {
  if (!fitsIpv4(config, subnet)) return false;
  if (config.ipv6 === undefined || ipv6Subnet === undefined) return config.ipv6 === ipv6Subnet;
  return fitsIpv6(config.ipv6, ipv6Subnet);
}

function fitsIpv4(config: SubnetRange, subnet: Ipv4Prefix): boolean {
  return subnet.length === config.subnetLength && subnet.base >= config.subnetMin && subnet.base <= config.subnetMax;
}

function fitsIpv6(config: Ipv6NetworkConfig, subnet: Ipv6Prefix): boolean {
  return subnet.length === config.subnetLength && subnet.base >= config.subnetMin && subnet.base <= config.subnetMax;
}

function chooseIpv4(
  config: SubnetRange,
  taken: readonly Occupied[],
  previous: Ipv4Prefix | undefined,
  random: number,
): Ipv4Prefix | undefined {
  const isFree = (subnet: Ipv4Prefix) => !taken.some((lease) => prefixesOverlap(lease.subnet, subnet));
  if (previous && fitsIpv4(config, previous) && isFree(previous)) return previous;
  const free = freeSubnets(config, taken, CANDIDATES);
  return free[Math.floor(random * free.length)];
}

function chooseIpv6(
  config: Ipv6NetworkConfig,
  taken: readonly Occupied[],
  previous: Ipv6Prefix | undefined,
  random: number,
): Ipv6Prefix | undefined {
  const used = taken.map((lease) => lease.ipv6Subnet).filter((subnet) => subnet !== undefined);
  if (previous && fitsIpv6(config, previous) && !used.some((subnet) => ipv6PrefixesOverlap(subnet, previous))) {
    return previous;
  }
  const free = freeIpv6Subnets(config, used, CANDIDATES);
  return free[Math.floor(random * free.length)];
}

/** The first `count` free subnets from SubnetMin up. */
export function freeSubnets(config: SubnetRange, occupied: readonly LeaseSubnets[], count: number): Ipv4Prefix[] {
  const size = 2 ** (32 - config.subnetLength);
  // Sorted and walked together: one pass, also with thousands of leases.
  const sorted = [...occupied].sort((a, b) => a.subnet.base - b.subnet.base);
  const free: Ipv4Prefix[] = [];
  let next = 0;
  let coveredTo = -1;
  for (let base: number = config.subnetMin; base <= config.subnetMax && free.length < count; base += size) {
    for (; next < sorted.length && sorted[next]!.subnet.base < base + size; next++) {
      const { subnet } = sorted[next]!;
      coveredTo = Math.max(coveredTo, subnet.base + 2 ** (32 - subnet.length) - 1);
    }
    if (coveredTo < base) free.push({ family: 4, base: base as Ipv4, length: config.subnetLength });
  }
  return free;
}

/** The same for IPv6. */
export function freeIpv6Subnets(config: Ipv6NetworkConfig, used: readonly Ipv6Prefix[], count: number): Ipv6Prefix[] {
  const size = 1n << BigInt(128 - config.subnetLength);
  const sorted = [...used].sort((a, b) => (a.base < b.base ? -1 : a.base > b.base ? 1 : 0));
  const free: Ipv6Prefix[] = [];
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
