import type { Lease } from '@flannel-ts/flannel/lease';
import { formatIpv4Prefix } from '@flannel-ts/inet/prefix';
import type { LeaseEvent } from './manager.ts';

/** All leases by subnet, as the last event left them. A value: an event makes a new one. */
export type LeaseTable = ReadonlyMap<string, Lease>;

export const EMPTY_LEASE_TABLE: LeaseTable = new Map();

/**
 * A snapshot replaces everything and a subnet's lease replaces its older one, whatever changed in it: flannel compares
 * snapshots by subnet only, so that a node that came back with another address stays unknown (pkg/lease/lease.go).
 */
export function applyLeaseEvent(table: LeaseTable, event: LeaseEvent): LeaseTable {
  if (event.type === 'snapshot') {
    return new Map(event.leases.map((lease) => [formatIpv4Prefix(lease.subnet), lease]));
  }
  const next = new Map(table);
  if (event.type === 'added') next.set(formatIpv4Prefix(event.lease.subnet), event.lease);
  else next.delete(formatIpv4Prefix(event.subnet));
  return next;
}
