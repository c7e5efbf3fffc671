/**
 * Which part of a VPC each subnet gets, and which address each machine with a fixed one. Pure: the same ranges and zones
 * give the same plan, and a zone that is added renumbers nothing.
 *
 *     10.64.0.0/19   ┌ zone 0 private /21 ┬ zone 1 private /21 ┬ zone 2 private /21 ┬ /24 public ×3, etcd ×3, spare ×2 ┐
 */
import type { Ipv4 } from '@flannel-ts/inet/ipv4';
import {
  addressAt,
  formatPrefix,
  type Prefix,
  parsePrefix,
  prefixesOverlap,
  prefixSize,
  subnetAt,
} from '@flannel-ts/inet/prefix';
import { InfraError } from '../errors.ts';

export const SUBNET_ROLES = ['private', 'public', 'etcd'] as const;
export type SubnetRole = (typeof SUBNET_ROLES)[number];

export interface PlannedSubnet {
  readonly role: SubnetRole;
  readonly zone: string;
  /** Position of the zone in the configuration. */
  readonly zoneIndex: number;
  readonly prefix: Prefix<4>;
}

export interface SubnetPlan {
  readonly vpc: Prefix<4>;
  readonly zones: readonly string[];
  /** By role, then by zone. */
  readonly subnets: readonly PlannedSubnet[];
  /** What is left of the VPC: for zones that are not there yet, and for what nobody thought of. By address. */
  readonly spare: readonly Prefix<4>[];
}

export const MAX_ZONES = 3;
/** VPC user guide, "Subnet CIDR blocks": a VPC and a subnet are between /16 and /28. */
export const WIDEST_VPC = 16;
export const SMALLEST_SUBNET = 28;
/** The first four addresses of a subnet and the last one are AWS's (VPC user guide, "Subnet sizing"). */
export const RESERVED_ADDRESSES = 5;

/** A quarter of the VPC for the private subnet of each zone, the last one in eighths. */
const PRIVATE_BITS = 2;
const SMALL_BITS = 5;
/** The small blocks begin with the last quarter. */
const FIRST_SMALL = MAX_ZONES * 2 ** (SMALL_BITS - PRIVATE_BITS);
const SMALL_BLOCKS: readonly SubnetRole[] = ['public', 'etcd'];
export const NARROWEST_VPC = SMALLEST_SUBNET - SMALL_BITS;

/** Machines with a fixed address: after AWS's own, with room for what somebody adds by hand. */
const FIRST_ETCD = 10;
const FIRST_NODE = 16;

/** Ranges that others on the machines take for themselves, and who. */
const TAKEN: readonly (readonly [string, string])[] = [
  ['10.96.0.0/12', "Kubernetes' services"],
  ['172.17.0.0/16', "Docker's bridge"],
];

export function planSubnets(vpc: Prefix<4>, zones: readonly string[]): SubnetPlan {
  checkVpc(vpc);
  checkZones(zones);
  const blocks = Array.from({ length: MAX_ZONES }, (_, i) => zoneBlocks(vpc, i));
  const subnets = SUBNET_ROLES.flatMap((role) =>
    zones.map((zone, zoneIndex) => ({ role, zone, zoneIndex, prefix: blocks[zoneIndex]![role] })),
  );
  const later = SUBNET_ROLES.flatMap((role) => blocks.slice(zones.length).map((block) => block[role]));
  const spare = [...later, ...restOfLastQuarter(vpc)].sort((a, b) => a.base - b.base);
  return { vpc, zones, subnets, spare };
}

/** What a zone has, whether or not it is in use. */
function zoneBlocks(vpc: Prefix<4>, index: number): Readonly<Record<SubnetRole, Prefix<4>>> {
  const small = (role: SubnetRole) =>
    subnetAt(vpc, vpc.length + SMALL_BITS, FIRST_SMALL + SMALL_BLOCKS.indexOf(role) * MAX_ZONES + index);
  return {
    private: subnetAt(vpc, vpc.length + PRIVATE_BITS, index),
    public: small('public'),
    etcd: small('etcd'),
  };
}

function restOfLastQuarter(vpc: Prefix<4>): Prefix<4>[] {
  const first = FIRST_SMALL + SMALL_BLOCKS.length * MAX_ZONES;
  const blocks: Prefix<4>[] = [];
  for (let i = first; i < 2 ** SMALL_BITS; i++) blocks.push(subnetAt(vpc, vpc.length + SMALL_BITS, i));
  return blocks;
}

export function checkVpc(vpc: Prefix<4>): void {
  const text = formatPrefix(vpc);
  if (vpc.length < WIDEST_VPC || vpc.length > NARROWEST_VPC) {
    throw new InfraError(
      'VPC_SIZE',
      `VPC ${text} cannot be divided into AWS's subnets of ${MAX_ZONES} zones: take a length from ${WIDEST_VPC} to ${NARROWEST_VPC}, like 10.64.0.0/19`,
    );
  }
  for (const [range, owner] of TAKEN) {
    if (prefixesOverlap(vpc, parsePrefix(range))) {
      throw new InfraError(
        'ADDRESS_CONFLICT',
        `VPC ${text} overlaps ${range}, ${owner}: take a range like 10.64.0.0/19`,
      );
    }
  }
}

function checkZones(zones: readonly string[]): void {
  if (zones.length >= 1 && zones.length <= MAX_ZONES && new Set(zones).size === zones.length) return;
  throw new InfraError('ZONES', `Zones are ${JSON.stringify(zones)}: name 1 to ${MAX_ZONES} different ones`);
}

/** Pods cannot have addresses that the machines' other networks use; the VPC's range is checked apart. */
export function checkPods(pods: Prefix<4>): void {
  for (const [range, owner] of TAKEN) {
    if (prefixesOverlap(pods, parsePrefix(range))) {
      throw new InfraError(
        'ADDRESS_CONFLICT',
        `Pod CIDR ${formatPrefix(pods)} overlaps ${range}, ${owner}: take one like 10.244.0.0/16`,
      );
    }
  }
}

/** How many machines a subnet can have. */
export function usableAddresses(subnet: Prefix<4>): number {
  return prefixSize(subnet) - RESERVED_ADDRESSES;
}

export interface Placement {
  readonly name: string;
  readonly zone: string;
  readonly zoneIndex: number;
  readonly address: Ipv4;
}

/** A member keeps its zone and address when others come or go, as long as the zones stay. */
export function placeEtcd(plan: SubnetPlan, members: number): Placement[] {
  return place(plan, 'etcd', members, FIRST_ETCD);
}

/** For nodes with fixed addresses. */
export function placeNodes(plan: SubnetPlan, nodes: number): Placement[] {
  return place(plan, 'private', nodes, FIRST_NODE, 'node');
}

function place(plan: SubnetPlan, role: SubnetRole, count: number, first: number, label: string = role): Placement[] {
  const subnets = plan.subnets.filter((subnet) => subnet.role === role);
  return Array.from({ length: count }, (_, i) => {
    const { zone, zoneIndex, prefix } = subnets[i % subnets.length]!;
    const number = first + Math.floor(i / subnets.length);
    // The last address is AWS's.
    if (number >= prefixSize(prefix) - 1) {
      throw new InfraError(
        'VPC_TOO_SMALL',
        `Subnet ${formatPrefix(prefix)} of ${zone} has no address for ${label}-${i}: widen vpcCidr, add a zone or ask for fewer`,
      );
    }
    return { name: `${label}-${i}`, zone, zoneIndex, address: addressAt(prefix, number) };
  });
}

/** Nodes that a group places take any address of their zone's subnet. */
export function checkNodesFit(plan: SubnetPlan, nodes: number): void {
  const room = plan.subnets
    .filter(({ role }) => role === 'private')
    .reduce((sum, { prefix }) => sum + usableAddresses(prefix), 0);
  if (nodes <= room) return;
  throw new InfraError(
    'VPC_TOO_SMALL',
    `VPC ${formatPrefix(plan.vpc)} has room for ${room} nodes in ${plan.zones.join(', ')}, ${nodes} are asked for: widen vpcCidr, add a zone or lower nodes`,
  );
}
