/**
 * Taking a subnet by compare-and-swap. Who loses a race lists again and tries again: flannel means to do that, but looks for
 * an error that never comes, so of 31 daemons started at once 10 exited (reference: local_manager.go, ErrDuplicateKey).
 */
import { formatLeaseSubnets, formatLeaseValue, type Lease, type LeaseAttributes } from '@flannel-ts/flannel/lease';
import { FAMILIES } from '@flannel-ts/inet/family';
import { formatPrefix } from '@flannel-ts/inet/prefix';
import type { Logger } from 'pino';
import { Backoff, sleep } from '../../abort.ts';
import { DaemonError, messageOf } from '../../errors.ts';
import { type Allocation, allocateSubnet } from '../allocate.ts';
import type { JoinRequest } from '../manager.ts';
import type { EtcdClient, Expectation } from './client.ts';
import { type Layout, type LeaseRecord, occupiedBy, type RecordReader } from './records.ts';

/** A lease of ours in etcd. */
export interface Held {
  readonly lease: Lease;
  readonly key: string;
  readonly modRevision: string;
  /** '0' for a reservation: a key that an administrator put there without an end, and which keeps none. */
  readonly leaseId: string;
  /** Date.now() of the end; undefined for a reservation. */
  readonly expiresAt: number | undefined;
}

export interface EtcdContext {
  readonly client: EtcdClient;
  readonly layout: Layout;
  readonly reader: RecordReader;
  readonly log: Logger;
  readonly ttlSeconds: number;
  readonly random: () => number;
}

/** The etcd lease for one acquisition: granted at first need, used for every try, revoked when no key got it. */
class Grant {
  private granted: { readonly id: string; readonly expiresAt: number } | undefined;
  private kept = false;

  constructor(private readonly context: EtcdContext) {}

  async take(): Promise<{ readonly id: string; readonly expiresAt: number }> {
    if (this.granted === undefined) {
      const start = Date.now();
      const { id, ttlSeconds } = await this.context.client.grantLease(this.context.ttlSeconds);
      this.granted = { id, expiresAt: start + ttlSeconds * 1000 };
    }
    return this.granted;
  }

  /** A key has it, or may have it. */
  keep(): void {
    this.kept = true;
  }

  async revokeUnlessKept(): Promise<void> {
    if (this.granted === undefined || this.kept) return;
    // It ends by itself, too: a failure here is none.
    await this.context.client.revokeLease(this.granted.id).catch(() => undefined);
  }
}

export async function acquire(context: EtcdContext, request: JoinRequest, signal: AbortSignal): Promise<Held> {
  const backoff = new Backoff(20, 1000, context.random);
  const outage = new Backoff(1000, 5000, context.random);
  let grant = new Grant(context);
  try {
    for (;;) {
      signal.throwIfAborted();
      try {
        const held = await tryAcquire(context, grant, request);
        if (held !== undefined) return held;
        context.log.debug('Another node was faster: trying for another subnet');
        await sleep(backoff.take(), signal);
      } catch (error) {
        if (!(error instanceof DaemonError) || error.code !== 'ETCD') throw error;
        context.log.warn(`Cannot acquire a lease yet, trying again: ${messageOf(error)}`);
        context.client.rotate();
        grant = new Grant(context); // the old one may have ended, or be of another cluster
        await sleep(outage.take(), signal);
      }
    }
  } finally {
    await grant.revokeUnlessKept();
  }
}

/** Undefined when somebody else was faster. */
async function tryAcquire(context: EtcdContext, grant: Grant, request: JoinRequest): Promise<Held | undefined> {
  const { client, layout } = context;
  const { key, rangeEnd } = layout.subnets;
  const listed = await client.range(key, rangeEnd);
  const occupied = listed.keyValues
    .map((keyValue) => occupiedBy(layout, context.reader, keyValue))
    .filter((record) => record !== undefined);
  const { config, previous } = request;
  const allocation = allocateSubnet({
    config,
    occupied,
    node: request.attributes,
    random: context.random(),
    ...(previous && { previous }),
  });
  await deleteStale(context, allocation);
  if (allocation.kind === 'none') {
    const network = networksOf(config);
    throw new DaemonError(
      'OUT_OF_SUBNETS',
      `No subnet is free in ${network}, ${occupied.length} are leased: enlarge ` +
        `${config.pools[4] ? 'Network' : 'IPv6Network'} or release the leases of nodes that are gone (flanneld release)`,
    );
  }
  if (allocation.kind === 'create') {
    const lease: Lease = { ...allocation.subnets, attributes: request.attributes };
    return put(context, grant, { lease, key: layout.keyOf(lease), expected: 'absent', reservation: false });
  }
  return reuse(context, grant, allocation.existing, request.attributes);
}

function reuse(
  context: EtcdContext,
  grant: Grant,
  existing: LeaseRecord,
  attributes: LeaseAttributes,
): Promise<Held | undefined> {
  const { keyValue, lease } = existing;
  return put(context, grant, {
    lease: { ...lease, attributes },
    key: keyValue.key,
    expected: { modRevision: keyValue.modRevision },
    reservation: keyValue.leaseId === '0',
  });
}

export interface PutRequest {
  readonly lease: Lease;
  readonly key: string;
  readonly expected: Expectation;
  readonly reservation: boolean;
}

async function put(context: EtcdContext, grant: Grant, request: PutRequest): Promise<Held | undefined> {
  const { lease, key, expected, reservation } = request;
  const { id, expiresAt } = reservation ? { id: '0', expiresAt: undefined } : await grant.take();
  const held = { lease, key, leaseId: id, expiresAt };
  try {
    const written = await context.client.putIf(key, expected, formatLeaseValue(lease.attributes), id);
    if (written !== undefined) {
      grant.keep();
      return { ...held, modRevision: written };
    }
    if (reservation) return undefined;
    // The answer of a first try may have been lost, and the second have met our own key: the lease id tells.
    const present = (await context.client.range(key)).keyValues[0];
    if (present?.leaseId !== id) return undefined;
    grant.keep();
    return { ...held, modRevision: present.modRevision };
  } catch (error) {
    grant.keep();
    throw error;
  }
}

/** One compare-and-swap with an etcd lease of its own; undefined when the key is not as expected. */
export async function putOnce(context: EtcdContext, request: PutRequest): Promise<Held | undefined> {
  const grant = new Grant(context);
  try {
    return await put(context, grant, request);
  } finally {
    await grant.revokeUnlessKept();
  }
}

async function deleteStale(context: EtcdContext, { stale }: Allocation<LeaseRecord>): Promise<void> {
  for (const { keyValue, lease } of stale) {
    const deleted = await context.client.deleteIf(keyValue.key, { modRevision: keyValue.modRevision });
    if (deleted === undefined) continue;
    context.log.info(`Deleted the lease ${formatLeaseSubnets(lease)} of this node: it does not fit the network config`);
  }
}

/** With the length of the subnets in each. */
function networksOf({ pools }: JoinRequest['config']): string {
  return FAMILIES.flatMap((family) => pools[family] ?? [])
    .map(({ network, subnetLength }) => `${formatPrefix(network)} (subnets of length ${subnetLength})`)
    .join(' or ');
}
