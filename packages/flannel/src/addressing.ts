/**
 * Whether a network can be built from the addresses somebody chose: what the infrastructure asks at preview, before it
 * creates anything. Each check throws a FlannelError with one sentence: the value, and what to do.
 */
import { MIN_IPV4_MTU } from '@flannel-ts/inet/mtu';
import { formatPrefix, type Prefix, parsePrefix, prefixesOverlap, subnetCount } from '@flannel-ts/inet/prefix';
import { parseBackendConfig } from './backend-config.ts';
import { backendOverhead } from './backend-needs.ts';
import { FlannelError } from './errors.ts';
import { goStringify } from './go-json.ts';
import { type BackendConfig, type NetworkConfig, parseNetworkConfig } from './network-config.ts';
import type { SubnetPool } from './subnet-pool.ts';

export interface AddressingPlan {
  /** Where the machines are. */
  readonly vpc: Prefix<4>;
  readonly pods: Prefix<4>;
  /** Of each node's part of the pod addresses. */
  readonly subnetLength: number;
  readonly nodes: number;
  readonly podsPerNode?: number;
  /** Of the machines' network. */
  readonly mtu: number;
  /** flannel's Backend object as the user wrote it. */
  readonly backend: unknown;
}

/** The network config for etcd, or all that is wrong with the plan. */
export type AddressingResult =
  | { readonly ok: true; readonly config: NetworkConfig }
  | { readonly ok: false; readonly problems: readonly FlannelError[] };

/** Base address, bridge and broadcast address of a subnet are no pod's. */
const RESERVED_PER_SUBNET = 3;

/** Blocks that pods cannot have, and why. */
const UNUSABLE: readonly (readonly [string, string])[] = [
  ['0.0.0.0/8', 'means "this network" (RFC 1122)'],
  ['127.0.0.0/8', 'is loopback'],
  ['169.254.0.0/16', "is link-local, and the cloud's metadata service is there"],
  ['224.0.0.0/4', 'is multicast'],
  ['240.0.0.0/4', 'is reserved'],
];

/** All checks, and flannel's own on the config that comes of it; every problem is reported, not the first one only. */
export function checkAddressing(plan: AddressingPlan): AddressingResult {
  const problems: FlannelError[] = [];
  const attempt = <T>(check: () => T): T | undefined => {
    try {
      return check();
    } catch (error) {
      if (!(error instanceof FlannelError)) throw error;
      problems.push(error);
      return undefined;
    }
  };
  attempt(() => checkPodNetwork(plan.pods));
  attempt(() => checkApart(plan.vpc, plan.pods));
  const suffice = attempt(() => checkSubnetsSuffice(plan.pods, plan.subnetLength, plan.nodes) ?? true);
  attempt(() => checkPodsFit(plan.subnetLength, plan.podsPerNode ?? 0));
  // With too few subnets flannel's own check would ask for something else again.
  const config = attempt(() => (suffice ? planNetworkConfig(plan) : void parseBackendConfig(plan.backend)));
  if (config !== undefined) attempt(() => checkMtu(config.backend, plan.mtu));
  return config === undefined || problems.length > 0 ? { ok: false, problems } : { ok: true, config };
}

/** The config as the daemon will read it from etcd, by the daemon's own parser. */
export function planNetworkConfig(plan: Pick<AddressingPlan, 'pods' | 'subnetLength' | 'backend'>): NetworkConfig {
  return parseNetworkConfig(
    goStringify({ Network: formatPrefix(plan.pods), SubnetLen: plan.subnetLength, Backend: plan.backend }),
  );
}

/** The pool of a planned network, which has IPv4. */
export function podPool({ pools }: Pick<NetworkConfig, 'pools'>): SubnetPool<4> {
  if (pools[4] === undefined) throw invalid('The network has no IPv4 pod CIDR');
  return pools[4];
}

export function checkPodNetwork(pods: Prefix<4>): void {
  for (const [block, reason] of UNUSABLE) {
    if (prefixesOverlap(pods, parsePrefix(block))) {
      throw invalid(`Pod CIDR ${formatPrefix(pods)} overlaps ${block}, which ${reason}: use one like 10.244.0.0/16`);
    }
  }
}

export function checkApart(vpc: Prefix<4>, pods: Prefix<4>): void {
  if (!prefixesOverlap(vpc, pods)) return;
  throw invalid(
    `Pod CIDR ${formatPrefix(pods)} overlaps VPC CIDR ${formatPrefix(vpc)}: ` +
      `an address could belong to a pod and to a machine, use ranges that do not overlap`,
  );
}

/** How many nodes a pod network can have: flannel leaves out its first subnet. */
export function maximalNodes(pods: Prefix<4>, subnetLength: number): number {
  return Math.max(0, subnetCount(pods, subnetLength) - 1);
}

export function checkSubnetsSuffice(pods: Prefix<4>, subnetLength: number, nodes: number): void {
  const limit = maximalNodes(pods, subnetLength);
  if (nodes <= limit) return;
  // The fewest bits that number the nodes and the first subnet, which nobody gets.
  const bits = Math.ceil(Math.log2(nodes + 1));
  const longer = pods.length + bits;
  const wider = subnetLength - bits;
  const ways = [
    ...(wider >= 0 ? [`a pod CIDR of /${wider} or wider`] : []),
    ...(longer <= 30 ? [`a subnet length of ${longer} or more`] : []),
    ...(limit > 0 ? [`${limit} nodes or fewer`] : []),
  ];
  throw invalid(
    `Pod CIDR ${formatPrefix(pods)} has ${limit} subnets of length ${subnetLength} for ${nodes} nodes: use ${ways.join(', or ')}`,
  );
}

export function checkPodsFit(subnetLength: number, podsPerNode: number): void {
  const room = Math.max(0, 2 ** (32 - subnetLength) - RESERVED_PER_SUBNET);
  if (podsPerNode <= room) return;
  const fitting = 32 - Math.ceil(Math.log2(podsPerNode + RESERVED_PER_SUBNET));
  throw invalid(
    `Subnet length ${subnetLength} has ${room} pod addresses for ${podsPerNode} pods on a node: ` +
      `use a subnet length of ${fitting} or less, or fewer pods`,
  );
}

export function checkMtu(backend: BackendConfig, mtu: number): void {
  const overhead = backendOverhead(backend.type, 4);
  if (mtu - overhead >= MIN_IPV4_MTU) return;
  throw invalid(
    `MTU ${mtu} leaves ${mtu - overhead} bytes inside the ${backend.type} backend, IPv4 needs ${MIN_IPV4_MTU}: ` +
      `set an MTU of ${MIN_IPV4_MTU + overhead} or more`,
  );
}

function invalid(message: string): FlannelError {
  return new FlannelError('INVALID_ADDRESSING', message);
}
