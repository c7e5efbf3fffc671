/**
 * Leasing a subnet by compare-and-swap. Who loses a race lists again and tries again: flannel means to do that, but looks for
 * an error that never comes, so of 31 daemons started at once 10 exited (reference: local_manager.go, ErrDuplicateKey).
 */
import {
  formatLeaseSubnets,
  formatLeaseValue,
  isSameNode,
  type Lease,
  type LeaseAttributes,
} from '@flannel-ts/flannel/lease';
import { FAMILIES } from '@flannel-ts/inet/family';
import { formatPrefix } from '@flannel-ts/inet/prefix';
import { Backoff, sleep } from '../../abort.ts';
import { DaemonError, messageOf } from '../../errors.ts';
import { Repeats } from '../../repeats.ts';
import { allocateSubnet } from '../allocate.ts';
import { monotonicNow } from '../clock.ts';
import type { JoinRequest } from '../manager.ts';
import { isLeaseNotFound, isOutOfSpace } from './client.ts';
import type { EtcdContext, Held } from './context.ts';
import { Grant, put, renewTerm } from './grant.ts';
import { heldByAnother } from './held-by-another.ts';
import { type LeaseRecord, occupiedBy } from './records.ts';

/** A running node writes its key again within milliseconds. */
const ANSWER_MS = 500;

export interface Acquired {
  readonly held: Held;
  /** The key existed before: another node with our address may be using it. */
  readonly tookOver: boolean;
}

export async function acquire(context: EtcdContext, request: JoinRequest, signal: AbortSignal): Promise<Acquired> {
  const backoff = new Backoff(20, 1000, context.random);
  const outage = new Backoff(1000, 5000, context.random);
  const repeats = new Repeats();
  const grant = new Grant(context);
  try {
    for (;;) {
      signal.throwIfAborted();
      try {
        const acquired = await tryAcquire(context, grant, request, signal);
        const over = repeats.over(monotonicNow());
        if (over !== undefined) context.log.info(`Etcd answers again ${over}`);
        if (acquired !== undefined) return acquired;
        context.log.debug('Another node was faster: trying for another subnet');
        await sleep(backoff.take(), signal);
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof DaemonError) || error.code !== 'ETCD') throw error;
        const line = repeats.failed(`Cannot acquire a lease yet, trying again: ${messageOf(error)}`, monotonicNow());
        if (line !== undefined) context.log.warn(line);
        await sleep(outage.take(), signal);
      }
    }
  } finally {
    await grant.revokeUnlessKept();
  }
}

/** Undefined when somebody else was faster. */
async function tryAcquire(
  context: EtcdContext,
  grant: Grant,
  request: JoinRequest,
  signal: AbortSignal,
): Promise<Acquired | undefined> {
  const { client, layout } = context;
  const { key, rangeEnd } = layout.subnets;
  const listed = await client.range(key, rangeEnd);
  // A late answer: whoever holds the lease by now would take what is written for another node's.
  signal.throwIfAborted();
  const occupied = listed.keyValues
    .map((keyValue) => occupiedBy(layout, context.reader, keyValue))
    .filter((record) => record !== undefined);
  const { config, previous, attributes, avoid } = request;
  const proven = occupied.find((record) => isProvenOurs(context, record));
  const allocation = allocateSubnet({
    config,
    occupied,
    node: attributes,
    random: context.random(),
    ...(proven && { proven }),
    ...(previous && { previous }),
    ...(avoid && { avoid }),
  });
  const stale = withoutReservations(context, allocation.stale);
  if (allocation.kind === 'create') {
    const lease: Lease = { ...allocation.subnets, attributes };
    // In one step: a peer that lists the leases in between would take the node for gone, and its routes away.
    const insteadOf = stale.map(({ keyValue }) => keyValue);
    const place = { key: layout.keyOf(lease), expected: 'absent', reservation: false } as const;
    const held = await put(context, grant, { lease, ...place, insteadOf });
    if (held !== undefined) for (const record of stale) await afterDeletion(context, record);
    return held && { held, tookOver: false };
  }
  await deleteStale(context, stale);
  if (allocation.kind === 'none') {
    const network = networksOf(config);
    throw new DaemonError(
      'OUT_OF_SUBNETS',
      `No subnet is free in ${network}, ${occupied.length} are leased: enlarge ` +
        `${config.pools[4] ? 'Network' : 'IPv6Network'} or release the leases of nodes that are gone (flanneld release)`,
    );
  }
  const { existing } = allocation;
  const claimed = existing === proven ? existing : await claim(context, existing, attributes, signal);
  const held = claimed && (await reuse(context, claimed, attributes));
  return held && { held, tookOver: true };
}

/**
 * Whether the key is exactly as this node left it: then nobody else has taken it since, whatever address this node has now.
 * A node that another one's address was given to must not pass for it.
 */
function isProvenOurs({ kept }: EtcdContext, { keyValue }: LeaseRecord): boolean {
  const { lease } = kept.previous;
  return (
    lease !== undefined &&
    lease.key === keyValue.key &&
    lease.modRevision === keyValue.modRevision &&
    lease.leaseId === keyValue.leaseId &&
    lease.value === keyValue.value
  );
}

/**
 * Peers send to the other node at once when the value says so: before another one is written, the present one is written again, which
 * a running node with our address answers by writing it once more, and peers do not notice. A reservation is answered by nobody.
 * Undefined when the key was changed meanwhile in another way.
 */
async function claim(
  context: EtcdContext,
  existing: LeaseRecord,
  attributes: LeaseAttributes,
  signal: AbortSignal,
): Promise<LeaseRecord | undefined> {
  const { client, reader } = context;
  const { keyValue, lease } = existing;
  const { key, value, modRevision, leaseId } = keyValue;
  if (leaseId === '0' || value === formatLeaseValue(attributes)) return existing;
  const claimed = await client.putIf(key, { modRevision }, value, leaseId);
  if (claimed === undefined) return undefined;
  await sleep(ANSWER_MS, signal);
  signal.throwIfAborted();
  const present = (await client.range(key)).keyValues[0];
  if (present?.modRevision === claimed) return { ...existing, keyValue: present };
  const node = present && reader.read(present)?.node;
  if (node === undefined || !isSameNode(node, attributes)) return undefined;
  context.kept.setLease(() => undefined); // it is no proof any more
  throw heldByAnother(lease, attributes);
}

/**
 * With the same etcd lease, renewed: a daemon that starts again and again leaves none behind. It is written even when nothing
 * changes, so that another running node with our address notices.
 */
async function reuse(
  context: EtcdContext,
  { keyValue, lease }: LeaseRecord,
  attributes: LeaseAttributes,
): Promise<Held | undefined> {
  const { key, modRevision, leaseId } = keyValue;
  const value = formatLeaseValue(attributes);
  let written: string | undefined;
  try {
    written = await context.client.putIf(key, { modRevision }, value, leaseId);
  } catch (error) {
    if (isLeaseNotFound(error)) return undefined; // it ended at this moment, and the key with it
    if (!isOutOfSpace(error) || value !== keyValue.value) throw error;
    context.log.warn(`Leasing ${formatLeaseSubnets(lease)} again without writing it: ${messageOf(error)}`);
    written = modRevision;
  }
  if (written === undefined) return undefined;
  const held = { lease: { ...lease, attributes }, key, modRevision: written, leaseId };
  if (leaseId === '0') return { ...held, term: undefined };
  const term = await renewTerm(context, leaseId);
  return term === undefined ? undefined : { ...held, term };
}

/** A reservation is an administrator's: it stays, of use or not. */
function withoutReservations({ log }: EtcdContext, stale: readonly LeaseRecord[]): readonly LeaseRecord[] {
  return stale.filter(({ keyValue, lease }) => {
    if (keyValue.leaseId !== '0') return true;
    log.warn(
      `The reservation ${formatLeaseSubnets(lease)} of this node does not fit the network config and is not used: change or delete ${keyValue.key}`,
    );
    return false;
  });
}

async function deleteStale(context: EtcdContext, stale: readonly LeaseRecord[]): Promise<void> {
  for (const record of stale) {
    const { key, modRevision } = record.keyValue;
    const deleted = await context.client.deleteIf(key, { modRevision });
    if (deleted !== undefined) await afterDeletion(context, record);
  }
}

async function afterDeletion(context: EtcdContext, { keyValue, lease }: LeaseRecord): Promise<void> {
  context.log.info(`Deleted the lease ${formatLeaseSubnets(lease)} of this node: it does not fit the network config`);
  // Its etcd lease has no other key, as far as flannel's layout goes.
  await context.client.revokeLease(keyValue.leaseId).catch(() => undefined);
}

/** With the length of the subnets in each. */
function networksOf({ pools }: JoinRequest['config']): string {
  return FAMILIES.flatMap((family) => pools[family] ?? [])
    .map(({ network, subnetLength }) => `${formatPrefix(network)} (subnets of length ${subnetLength})`)
    .join(' or ');
}
