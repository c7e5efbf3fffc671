/** Which address each machine of the local VPC gets. Pure: the same configuration gives the same addresses. */
import type { Ipv4 } from '@flannel-ts/inet/ipv4';
import { addressAt, formatPrefix, type Prefix, prefixSize } from '@flannel-ts/inet/prefix';
import { InfraError } from '../errors.ts';

// AWS keeps the first four addresses of a subnet and the last one for itself; here they stay free too, so that a plan
// that fits here fits there.
const FIRST_ETCD = 4;
const FIRST_CONTROL = 12;
const FIRST_NODE = 16;
const RESERVED_AT_END = 1;

export const MAX_ETCD_MEMBERS = FIRST_CONTROL - FIRST_ETCD;

export interface AddressPlan {
  readonly gateway: Ipv4;
  readonly etcd: readonly Ipv4[];
  /** Of the machine that Kubernetes' control plane is on, where there is one. */
  readonly control: Ipv4;
  readonly nodes: readonly Ipv4[];
}

/** Nodes and etcd members keep their addresses when others come or go. */
export function planAddresses(vpc: Prefix<4>, etcdMembers: number, nodes: number): AddressPlan {
  const room = prefixSize(vpc) - FIRST_NODE - RESERVED_AT_END;
  if (nodes > room) {
    throw new InfraError(
      'VPC_TOO_SMALL',
      `VPC ${formatPrefix(vpc)} has room for ${Math.max(room, 0)} nodes, ${nodes} are asked for: widen vpcCidr or lower nodes`,
    );
  }
  const row = (first: number, count: number) => Array.from({ length: count }, (_, i) => addressAt(vpc, first + i));
  return {
    gateway: addressAt(vpc, 1),
    etcd: row(FIRST_ETCD, etcdMembers),
    control: addressAt(vpc, FIRST_CONTROL),
    nodes: row(FIRST_NODE, nodes),
  };
}
