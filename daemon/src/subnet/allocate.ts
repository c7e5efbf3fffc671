/** Which subnet a node takes, as a function of what is there (flannel: local_manager.go, tryAcquireLease and allocateSubnet). */
import type { NetworkConfig } from '@flannel-ts/flannel/network-config';
import type { Ipv4 } from '@flannel-ts/inet/ipv4';
import { type Ipv4Prefix, prefixesOverlap, samePrefix } from '@flannel-ts/inet/prefix';

/** What allocation has to know of a lease that exists. */
export interface Occupied {
  readonly subnet: Ipv4Prefix;
  readonly publicIp: Ipv4;
}

export interface AllocationInput<T extends Occupied> {
  readonly config: SubnetRange;
  readonly occupied: readonly T[];
  readonly publicIp: Ipv4;
  readonly previous?: Ipv4Prefix;
  /** From 0 to below 1, like Math.random. */
  readonly random: number;
}

export type SubnetRange = Pick<NetworkConfig, 'network' | 'subnetLength' | 'subnetMin' | 'subnetMax'>;

export type Allocation<T extends Occupied> = {
  /** Leases of this node that do not fit the config (any more): to be deleted. */
  readonly stale: readonly T[];
} & (
  | { readonly kind: 'reuse'; readonly existing: T }
  | { readonly kind: 'create'; readonly subnet: Ipv4Prefix }
  | { readonly kind: 'none' }
);

/**
 * How many free subnets a node chooses from, so that nodes starting together seldom want the same one (flannel: 100).
 */
const CANDIDATES = 100;

export function allocateSubnet<T extends Occupied>(input: AllocationInput<T>): Allocation<T> {
  const { config, occupied, previous } = input;
  const own = occupied.filter((lease) => lease.publicIp === input.publicIp);
  const stale = own.filter((lease) => !fitsConfig(config, lease.subnet));
  const fitting = own.filter((lease) => fitsConfig(config, lease.subnet));
  // Two leases of one node: the one it used last, so that its pods keep their addresses.
  const existing = fitting.find((lease) => previous && samePrefix(lease.subnet, previous)) ?? fitting[0];
  if (existing !== undefined) return { stale, kind: 'reuse', existing };

  const taken = occupied.filter((lease) => !stale.includes(lease));
  if (previous && fitsConfig(config, previous) && !taken.some((lease) => prefixesOverlap(lease.subnet, previous))) {
    return { stale, kind: 'create', subnet: previous };
  }
  const free = freeSubnets(config, taken, CANDIDATES);
  const subnet = free[Math.floor(input.random * free.length)];
  return subnet === undefined ? { stale, kind: 'none' } : { stale, kind: 'create', subnet };
}

export function fitsConfig(config: SubnetRange, subnet: Ipv4Prefix): boolean {
  return subnet.length === config.subnetLength && subnet.base >= config.subnetMin && subnet.base <= config.subnetMax;
}

/** The first `count` free subnets from SubnetMin up. */
export function freeSubnets(config: SubnetRange, occupied: readonly Occupied[], count: number): Ipv4Prefix[] {
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
