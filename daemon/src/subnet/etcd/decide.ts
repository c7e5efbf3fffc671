/** What to do about this node's key in etcd, as a function of what it was left as and what it is now. */
import { isSameNode, type LeaseAttributes, type NodeAddresses } from '@flannel-ts/flannel/lease';
import type { KeyValue } from './client.ts';
import type { Held } from './context.ts';

export interface KeyFacts {
  readonly held: Held;
  /** What the lease should say, and that as its value. */
  readonly wanted: LeaseAttributes;
  readonly wantedValue: string;
  readonly present: KeyValue | undefined;
  /** Whose the present value is; undefined when it cannot be read. */
  readonly node: NodeAddresses | undefined;
  readonly ownLeaseIds: ReadonlySet<string>;
  /** A write of ours may have happened: its answer was lost, or another process of this node did it. */
  readonly uncertain: boolean;
  /** False after a start without etcd: the key may have been leased to another node since, even with our former address. */
  readonly confirmed: boolean;
}

export type Decision =
  /** It is as it should be. */
  | { readonly kind: 'keep' }
  /** It is ours and says what it should, with this revision and etcd lease. */
  | { readonly kind: 'adopt' }
  /** It says something else, by our own will. */
  | { readonly kind: 'publish' }
  /** It is gone: lease the same subnet again. */
  | { readonly kind: 'create' }
  /** Somebody else wrote it, and the subnet still is ours: write it again, with its etcd lease or ours. */
  | { readonly kind: 'defend'; readonly why: 'same address' | 'unreadable' | 'overwritten' }
  /** It is another node's. */
  | { readonly kind: 'yield' };

export function decide(facts: KeyFacts): Decision {
  const { held, wanted, wantedValue, present, node, ownLeaseIds, uncertain, confirmed } = facts;
  if (present === undefined) return { kind: 'create' };
  const saysWanted = present.value === wantedValue;
  if (isAsLeft(held, present, node)) return saysWanted ? { kind: 'keep' } : { kind: 'publish' };
  const isOurLease = present.leaseId !== '0' && ownLeaseIds.has(present.leaseId);
  if (node === undefined) return confirmed || isOurLease ? { kind: 'defend', why: 'unreadable' } : { kind: 'yield' };
  const isOurAddress = isSameNode(node, wanted) || (confirmed && isSameNode(node, held.lease.attributes));
  const isByUs = uncertain && (isOurLease || present.leaseId === held.leaseId);
  if (isByUs && saysWanted) return { kind: 'adopt' };
  if (isByUs && isOurAddress) return { kind: 'publish' };
  // An administrator made our lease a reservation, or wrote our reservation anew; or an older snapshot of etcd was restored.
  const isOlder = BigInt(present.modRevision) < BigInt(held.modRevision);
  if (isOurAddress && (present.leaseId === '0' || isOlder)) return saysWanted ? { kind: 'adopt' } : { kind: 'publish' };
  if (isOurAddress) return { kind: 'defend', why: 'same address' };
  // With our etcd lease attached nobody else has leased it.
  if (isOurLease) return { kind: 'defend', why: 'overwritten' };
  return { kind: 'yield' };
}

/** The revision alone is no proof: an etcd that was restored from an older snapshot assigns the same revisions once more. */
export function isAsLeft(
  { lease, modRevision, leaseId }: Held,
  present: KeyValue,
  node: NodeAddresses | undefined,
): boolean {
  if (present.modRevision !== modRevision || present.leaseId !== leaseId) return false;
  return node !== undefined && isSameNode(node, lease.attributes);
}
