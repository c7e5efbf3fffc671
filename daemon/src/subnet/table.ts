import type { Lease, LeaseSubnets } from '@flannel-ts/flannel/lease';
import { formatIpv6Prefix } from '@flannel-ts/inet/ipv6-prefix';
import { formatIpv4Prefix } from '@flannel-ts/inet/prefix';
import type { LeaseEvent } from './manager.ts';

/** All leases by their subnets, as the last event left them. A value: an event makes a new one. */
export type LeaseTable = ReadonlyMap<string, Lease>;

export const EMPTY_LEASE_TABLE: LeaseTable = new Map();

/**
 * A snapshot replaces everything and a subnet's lease replaces its older one, whatever changed in it: flannel compares
 * snapshots by subnet only, so that a node that came back with another address stays unknown (pkg/lease/lease.go).
 */
export function applyLeaseEvent(table: LeaseTable, event: LeaseEvent): LeaseTable {
  if (event.type === 'snapshot') return new Map(event.leases.map((lease) => [keyOf(lease), lease]));
  const next = new Map(table);
  if (event.type === 'added') next.set(keyOf(event.lease), event.lease);
  else next.delete(keyOf(event.subnets));
  return next;
}

/** With both families, as etcd's key: a node that changes from one to both has two leases for a moment. */
function keyOf({ subnet, ipv6Subnet }: LeaseSubnets): string {
  const text = formatIpv4Prefix(subnet);
  return ipv6Subnet === undefined ? text : `${text}&${formatIpv6Prefix(ipv6Subnet)}`;
}
