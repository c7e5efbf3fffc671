/** All leases as the last batch left them. */
import { formatLeaseSubnets, formatLeaseValue, type Lease, type LeaseSubnets } from '@flannel-ts/flannel/lease';
import { type PrefixKey, prefixKey } from '@flannel-ts/inet/prefix';
import type { LeaseBatch } from './manager.ts';

/** What a batch changed. No subnet is in it twice. */
export interface LeaseDelta {
  readonly added: readonly Lease[];
  readonly changed: readonly { readonly before: Lease; readonly after: Lease }[];
  readonly removed: readonly Lease[];
}

export interface Leases {
  readonly size: number;
  values(): Iterable<Lease>;
  /** The one with the same subnets. */
  get(subnets: LeaseSubnets): Lease | undefined;
}

export interface LeaseTable extends Leases {
  /** Takes time in proportion to the batch, not to the table. */
  apply(batch: LeaseBatch): LeaseDelta;
}

/** Equal for the same subnets. */
export type SubnetsKey = PrefixKey | string;

export function subnetsKey(subnets: LeaseSubnets): SubnetsKey {
  const { subnet, ipv6Subnet } = subnets;
  if (subnet !== undefined && ipv6Subnet !== undefined) return formatLeaseSubnets(subnets);
  return prefixKey((subnet ?? ipv6Subnet)!);
}

/**
 * By the subnets of both families, as in etcd: a node that changes from one to both has two leases for a moment.
 *
 * A lease is compared with all its attributes: flannel compares snapshots by subnet only, so that a node that came back with
 * another address stays unknown (pkg/lease/lease.go).
 */
export function createLeaseTable(): LeaseTable {
  const leases = new Map<SubnetsKey, Lease>();

  function change(changed: Iterable<Lease>, gone: Iterable<SubnetsKey>): LeaseDelta {
    const delta = { added: [] as Lease[], changed: [] as { before: Lease; after: Lease }[], removed: [] as Lease[] };
    for (const key of gone) {
      const before = leases.get(key);
      if (before === undefined) continue;
      leases.delete(key);
      delta.removed.push(before);
    }
    for (const after of changed) {
      const key = subnetsKey(after);
      const before = leases.get(key);
      if (before !== undefined && formatLeaseValue(before.attributes) === formatLeaseValue(after.attributes)) continue;
      leases.set(key, after);
      if (before === undefined) delta.added.push(after);
      else delta.changed.push({ before, after });
    }
    return delta;
  }

  return {
    get size() {
      return leases.size;
    },
    values: () => leases.values(),
    get: (subnets) => leases.get(subnetsKey(subnets)),
    apply(batch) {
      if (batch.kind === 'changes') return change(batch.changed, batch.removed.map(subnetsKey));
      const present = new Set(batch.leases.map(subnetsKey));
      return change(
        batch.leases,
        [...leases.keys()].filter((key) => !present.has(key)),
      );
    },
  };
}
