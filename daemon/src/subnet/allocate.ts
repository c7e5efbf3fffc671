/** Which subnet a node leases, as a function of what is leased (flannel: local_manager.go, tryAcquireLease and allocateSubnet). */
import { isSameNode, type LeaseSubnets, leaseSubnets, type NodeAddresses } from '@flannel-ts/flannel/lease';
import type { NetworkConfig } from '@flannel-ts/flannel/network-config';
import type { SubnetPool } from '@flannel-ts/flannel/subnet-pool';
import { addressBits } from '@flannel-ts/inet/family';
import { addToIp, compareIps, type Ip } from '@flannel-ts/inet/ip';
import {
  lastAddress,
  type Prefix,
  prefixContains,
  prefixesOverlap,
  prefixFrom,
  prefixSize,
  samePrefix,
} from '@flannel-ts/inet/prefix';

/** What allocation has to know of a lease that exists. */
export type Occupied = LeaseSubnets & { readonly node: NodeAddresses };

export interface AllocationInput<T extends Occupied> {
  readonly config: Pick<NetworkConfig, 'pools'>;
  readonly occupied: readonly T[];
  readonly node: NodeAddresses;
  readonly previous?: Partial<LeaseSubnets>;
  /** The one of `occupied` that is known to be this node's, whatever address it had. */
  readonly proven?: T;
  /** Addresses that no subnet may cover; those of the leases' nodes are known anyway. */
  readonly avoid?: readonly Ip[];
  /** From 0 to below 1, like Math.random. */
  readonly random: number;
}

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
  const own = occupied.filter((lease) => lease === input.proven || isSameNode(lease.node, input.node));
  const stale = own.filter((lease) => !fitsConfig(config, lease));
  // Of a proven lease and one of our address, the address alone may have been another node's when it was leased.
  if (input.proven && fitsConfig(config, input.proven)) return { stale, kind: 'reuse', existing: input.proven };
  const fitting = own.filter((lease) => fitsConfig(config, lease));
  // Two leases of one node: the one it used last, so that its pods keep their addresses.
  const existing = fitting.find((lease) => isLast(lease, input.previous)) ?? fitting[0];
  if (existing !== undefined) return { stale, kind: 'reuse', existing };

  const gone = new Set(stale);
  const taken = occupied.filter((lease) => !gone.has(lease));
  // Where only IPv6 was added or removed, a lease that no longer fits has the subnet that the pods are in.
  const previous = { ...stale[0], ...input.previous };
  const { 4: ipv4, 6: ipv6 } = config.pools;
  const choose = <P extends Prefix>(pool: SubnetPool, used: readonly (P | undefined)[], last: P | undefined) =>
    chooseSubnet(
      pool,
      [...used.filter((subnet) => subnet !== undefined), ...avoided(input, pool.network)],
      last,
      input.random,
    ) as P | undefined;
  const subnets = leaseSubnets(
    ipv4 &&
      choose(
        ipv4,
        taken.map(({ subnet }) => subnet),
        previous.subnet,
      ),
    ipv6 &&
      choose(
        ipv6,
        taken.map(({ ipv6Subnet }) => ipv6Subnet),
        previous.ipv6Subnet,
      ),
  );
  if (subnets === undefined || !fitsConfig(config, subnets)) return { stale, kind: 'none' };
  return { stale, kind: 'create', subnets };
}

/** Addresses inside the network that nodes and etcd are reached by, where both share a range (flannel issues 112, 479). */
function avoided({ occupied, node, avoid = [] }: AllocationInput<Occupied>, network: Prefix): Prefix[] {
  const nodes = [node, ...occupied.map((lease) => lease.node)];
  const addresses = [...avoid, ...nodes.flatMap(({ publicIp, publicIpv6 }) => [publicIp, publicIpv6])];
  return addresses
    .filter((ip) => ip !== undefined)
    .filter((ip) => prefixContains(network, ip))
    .map((ip): Prefix => prefixFrom(ip, addressBits(network.family)));
}

function isLast({ subnet, ipv6Subnet }: LeaseSubnets, previous: Partial<LeaseSubnets> = {}): boolean {
  if (subnet !== undefined) return previous.subnet !== undefined && samePrefix(subnet, previous.subnet);
  return previous.ipv6Subnet !== undefined && samePrefix(ipv6Subnet, previous.ipv6Subnet);
}

/** Whether the subnets are of the families that the config has, and of no other. */
export function fitsConfig({ pools }: Pick<NetworkConfig, 'pools'>, { subnet, ipv6Subnet }: LeaseSubnets): boolean {
  return fitsPool(pools[4], subnet) && fitsPool(pools[6], ipv6Subnet);
}

function fitsPool(pool: SubnetPool | undefined, subnet: Prefix | undefined): boolean {
  if (pool === undefined || subnet === undefined) return pool === subnet;
  return subnet.length === pool.subnetLength && subnet.base >= pool.subnetMin && subnet.base <= pool.subnetMax;
}

function chooseSubnet(
  pool: SubnetPool,
  used: readonly Prefix[],
  previous: Prefix | undefined,
  random: number,
): Prefix | undefined {
  if (previous && fitsPool(pool, previous) && !used.some((subnet) => prefixesOverlap(subnet, previous))) {
    return previous;
  }
  const free = freeSubnets(pool, used, CANDIDATES);
  return free[Math.floor(random * free.length)];
}

/** The first `count` free subnets from SubnetMin up; `used` is of the family of the pool. */
export function freeSubnets(pool: SubnetPool, used: readonly Prefix[], count: number): Prefix[] {
  // Sorted and walked together: one pass, also with thousands of leases.
  const sorted = [...used].sort((a, b) => compareIps(a.base, b.base));
  const free: Prefix[] = [];
  let next = 0;
  let covered: Ip | undefined;
  for (
    let subnet: Prefix | undefined = firstSubnet(pool);
    subnet && free.length < count;
    subnet = after(subnet, pool)
  ) {
    const last = lastAddress(subnet);
    for (; next < sorted.length && sorted[next]!.base <= last; next++) {
      const end = lastAddress(sorted[next]!);
      if (covered === undefined || end > covered) covered = end;
    }
    if (covered === undefined || covered < subnet.base) free.push(subnet);
  }
  return free;
}

function firstSubnet({ subnetMin, subnetLength }: SubnetPool): Prefix {
  return prefixFrom<Ip>(subnetMin, subnetLength);
}

/** The next subnet of the pool; undefined after the last one. */
function after(subnet: Prefix, { subnetMax, subnetLength }: SubnetPool): Prefix | undefined {
  if (subnet.base >= subnetMax) return undefined;
  return prefixFrom<Ip>(addToIp<Ip>(subnet.base, prefixSize(subnet)), subnetLength);
}
