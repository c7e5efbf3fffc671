import type { Lease } from '@flannel-ts/flannel/lease';
import type { Logger } from 'pino';
import type { KeptState } from '../kept-state.ts';
import type { EtcdClient } from './client.ts';
import type { Layout, RecordReader } from './records.ts';

/** What every part of the etcd subnet manager works with. */
export interface EtcdContext {
  readonly client: EtcdClient;
  readonly layout: Layout;
  readonly reader: RecordReader;
  readonly log: Logger;
  readonly ttlSeconds: number;
  readonly random: () => number;
  readonly kept: KeptState;
  /** Every etcd lease that this process was granted or renews: a key with one of them was written by this process. */
  readonly ownLeaseIds: Set<string>;
}

/** How long an etcd lease lasts without renewal. */
export interface Term {
  /** By monotonicNow(). */
  readonly endsAt: number;
  /** From the last renewal on. */
  readonly lifetimeMs: number;
}

/** This node's lease as it was last known to be in etcd. */
export interface Held {
  readonly lease: Lease;
  readonly key: string;
  readonly modRevision: string;
  /** '0' for a reservation: a key without an etcd lease, which an administrator made and which stays one. */
  readonly leaseId: string;
  /** Undefined for a reservation. */
  readonly term: Term | undefined;
}
