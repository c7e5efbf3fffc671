import { formatLeaseSubnets, type Lease } from '@flannel-ts/flannel/lease';
import type { LeaseEvent } from './manager.ts';

/**
 * All leases by their subnets, as the last event left them. A value: an event makes a new one. By both families, as in etcd: a
 * node that changes from one to both has two leases for a moment.
 */
export type LeaseTable = ReadonlyMap<string, Lease>;

export const EMPTY_LEASE_TABLE: LeaseTable = new Map();

/**
 * A snapshot replaces everything and a subnet's lease replaces its older one, whatever changed in it: flannel compares
 * snapshots by subnet only, so that a node that came back with another address stays unknown (pkg/lease/lease.go).
 */
export function applyLeaseEvent(table: LeaseTable, event: LeaseEvent): LeaseTable {
  if (event.type === 'snapshot') return new Map(event.leases.map((lease) => [formatLeaseSubnets(lease), lease]));
  const next = new Map(table);
  if (event.type === 'added') next.set(formatLeaseSubnets(event.lease), event.lease);
  else next.delete(formatLeaseSubnets(event.subnets));
  return next;
}
