/**
 * Keeping a lease. flannel renews by writing blindly, so that it takes back a key that meanwhile is another node's, and its
 * watch on the own key ends for good with the first error (reference 1.5). Here a renewal compares the revision, the watch
 * goes on through outages, and a lost lease is taken again while its subnet is free.
 */
import { formatLeaseSubnets, isSameNode, type NodeAddresses } from '@flannel-ts/flannel/lease';
import { formatIp } from '@flannel-ts/inet/ip';
import { Backoff, Bell, childSignal } from '../../abort.ts';
import { DaemonError, messageOf } from '../../errors.ts';
import type { Report } from '../manager.ts';
import { type EtcdContext, type Held, putOnce } from './acquire.ts';
import type { KeyValue } from './client.ts';
import { type WatchTimings, watchRange } from './watch.ts';

export interface HoldOptions {
  readonly marginSeconds: number;
  readonly timings: WatchTimings;
  readonly report: Report;
  /** Called whenever the lease stands anew in etcd. */
  readonly onHeld?: (held: Held) => void;
}

/** When to renew: the margin before the end, but not sooner than half of the time (for lifetimes shorter than the margin). */
export function renewalDelayMs(now: number, expiresAt: number, ttlSeconds: number, marginSeconds: number): number {
  const margin = Math.min(marginSeconds, ttlSeconds / 2) * 1000;
  return Math.max(0, expiresAt - margin - now);
}

export async function hold(
  context: EtcdContext,
  first: Held,
  options: HoldOptions,
  signal: AbortSignal,
): Promise<void> {
  const tasks = childSignal(signal);
  const observed = new Observed();
  const watching = observe(context, first.key, observed, options.timings, tasks.signal);
  try {
    await keep(context, first, observed, options, signal);
  } finally {
    tasks.abort();
    tasks.dispose();
    await watching;
  }
}

/** The last that the watch told about the key. */
class Observed {
  readonly bell = new Bell();
  private news: { readonly keyValue: KeyValue | undefined } | undefined;

  tell(keyValue: KeyValue | undefined): void {
    this.news = { keyValue };
    this.bell.ring();
  }

  take(): { readonly keyValue: KeyValue | undefined } | undefined {
    const { news } = this;
    this.news = undefined;
    return news;
  }
}

async function observe(
  context: EtcdContext,
  key: string,
  observed: Observed,
  timings: WatchTimings,
  signal: AbortSignal,
): Promise<void> {
  for await (const events of watchRange(context.client, { key }, context.log, signal, timings)) {
    for (const event of events) {
      if (event.type === 'snapshot') observed.tell(event.keyValues[0]);
      else observed.tell(event.type === 'put' ? event.keyValue : undefined);
    }
  }
}

async function keep(
  context: EtcdContext,
  first: Held,
  observed: Observed,
  options: HoldOptions,
  signal: AbortSignal,
): Promise<void> {
  const backoff = new Backoff(1000, 60_000, context.random);
  let held = first;
  let retryAt = 0;
  while (!signal.aborted) {
    try {
      const news = observed.take();
      // What a watch tells may be older than what we wrote; a key that is told to be gone is looked up again.
      const before = held;
      if (news) held = await afterNews(context, held, news.keyValue);
      if (renewalIsDue(context, held, options)) held = await renew(context, held);
      if (held !== before) {
        backoff.reset();
        options.onHeld?.(held);
      }
      retryAt = 0;
      options.report(undefined);
    } catch (error) {
      if (!(error instanceof DaemonError) || error.code !== 'ETCD') throw error;
      const trouble = `Cannot renew the lease of ${formatLeaseSubnets(held.lease)} yet, trying again: ${messageOf(error)}`;
      context.log.warn(trouble);
      options.report(trouble);
      retryAt = Date.now() + backoff.take();
    }
    await observed.bell.wait(waitMs(context, held, options, retryAt), signal);
  }
}

function renewalIsDue(context: EtcdContext, held: Held, options: HoldOptions): boolean {
  if (held.expiresAt === undefined) return false;
  return renewalDelayMs(Date.now(), held.expiresAt, context.ttlSeconds, options.marginSeconds) === 0;
}

const LONGEST_TIMER_MS = 2 ** 31 - 1; // setTimeout takes no more

function waitMs(context: EtcdContext, held: Held, options: HoldOptions, retryAt: number): number {
  if (retryAt > 0) return Math.max(0, retryAt - Date.now());
  if (held.expiresAt === undefined) return LONGEST_TIMER_MS;
  const delay = renewalDelayMs(Date.now(), held.expiresAt, context.ttlSeconds, options.marginSeconds);
  return Math.min(delay, LONGEST_TIMER_MS);
}

async function renew(context: EtcdContext, held: Held): Promise<Held> {
  const { lease, key, modRevision, leaseId } = held;
  const renewed = await putOnce(context, { lease, key, expected: { modRevision }, reservation: false });
  if (renewed === undefined) return lookUp(context, held);
  context.log.info({ subnet: formatLeaseSubnets(lease) }, 'Renewed the lease');
  // The key has left its old etcd lease, which would stay for an hour more.
  await context.client.revokeLease(leaseId).catch(() => undefined);
  return renewed;
}

async function afterNews(context: EtcdContext, held: Held, keyValue: KeyValue | undefined): Promise<Held> {
  if (keyValue?.modRevision === held.modRevision) return held;
  return lookUp(context, held);
}

/** The key is not as we left it: see how it stands now. */
async function lookUp(context: EtcdContext, held: Held): Promise<Held> {
  const present = (await context.client.range(held.key)).keyValues[0];
  if (present === undefined) return takeAgain(context, held);
  if (present.modRevision === held.modRevision) return held;
  const record = context.reader.read(present);
  if (record === undefined || !isSameNode(record.node, held.lease.attributes)) throw taken(held, record?.node);
  const left = present.leaseId === '0' ? undefined : await context.client.leaseTimeToLive(present.leaseId);
  return {
    ...held,
    modRevision: present.modRevision,
    leaseId: present.leaseId,
    expiresAt: present.leaseId === '0' ? undefined : Date.now() + (left ?? 0) * 1000,
  };
}

async function takeAgain(context: EtcdContext, held: Held): Promise<Held> {
  const { lease, key } = held;
  const again = await putOnce(context, { lease, key, expected: 'absent', reservation: false });
  if (again === undefined) return lookUp(context, held);
  context.log.warn(`The lease of ${formatLeaseSubnets(lease)} was gone from etcd: took the same subnet again`);
  return again;
}

function taken(held: Held, by: NodeAddresses = {}): DaemonError {
  const address = by.publicIp ?? by.publicIpv6;
  const owner = address === undefined ? 'somebody unknown' : formatIp(address);
  return new DaemonError(
    'LEASE_TAKEN',
    `The lease of ${formatLeaseSubnets(held.lease)} was lost and now is that of ${owner}: restart flanneld and this node's pods to get another subnet`,
  );
}
