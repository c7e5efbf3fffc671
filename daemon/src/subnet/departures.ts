/**
 * A lease that is gone from the source stays in force for a moment. A node whose lease was revoked, or whose key somebody deleted
 * or overwrote, writes it again within milliseconds: its peers would drop what they send to it meanwhile.
 */
import { formatLeaseSubnets, type Lease, subnetsOf } from '@flannel-ts/flannel/lease';
import { formatPrefix } from '@flannel-ts/inet/prefix';
import { childSignal, sleep } from '../abort.ts';
import { monotonicNow } from './clock.ts';
import type { LeaseBatch } from './manager.ts';

const GRACE_MS = 2000;

/** The batches that `open` gives, with each removal later. */
export async function* withGrace(
  open: (signal: AbortSignal) => AsyncIterable<LeaseBatch>,
  signal: AbortSignal,
  graceMs = GRACE_MS,
): AsyncGenerator<LeaseBatch> {
  const running = childSignal(signal);
  const departures = new Departures(graceMs);
  try {
    const source = open(running.signal)[Symbol.asyncIterator]();
    let next = source.next();
    for (;;) {
      next.catch(() => {}); // it may fail while the consumer is at work, and is awaited afterwards
      const { due } = departures;
      const timer = due === undefined ? [] : [sleep(Math.max(0, due - monotonicNow()), running.signal)];
      const result = await Promise.race([next, ...timer]);
      if (result?.done) return;
      if (result === undefined) {
        const gone = departures.takeDue(monotonicNow());
        if (gone.length > 0) yield { kind: 'changes', changed: [], removed: gone };
        if (signal.aborted) return;
        continue;
      }
      yield departures.apply(result.value, monotonicNow());
      next = source.next();
    }
  } finally {
    running.abort();
    running.dispose();
  }
}

/** Pure: `now` is of one clock. */
export class Departures {
  private readonly present = new Map<string, Lease>();
  /** Which present lease has a subnet, or is that of a node. */
  private readonly holders = new Map<string, string>();
  /** In the order of their ends. */
  private readonly departing = new Map<string, { readonly lease: Lease; readonly endsAt: number }>();

  constructor(private readonly graceMs: number) {}

  /** When the next lease ends. */
  get due(): number | undefined {
    return this.departing.values().next().value?.endsAt;
  }

  takeDue(now: number): Lease[] {
    return this.take(({ endsAt }) => endsAt <= now);
  }

  apply(batch: LeaseBatch, now: number): LeaseBatch {
    const arrived = batch.kind === 'snapshot' ? batch.leases : batch.changed;
    const keys = new Set(arrived.map(formatLeaseSubnets));
    const removed =
      batch.kind === 'snapshot'
        ? [...this.present.keys()].filter((key) => !keys.has(key))
        : batch.removed.map(formatLeaseSubnets);
    for (const key of removed) this.depart(key, now + this.graceMs);
    for (const lease of arrived) this.arrive(lease);
    const replaced = this.take(({ lease }) => claimsOf(lease).some((claim) => this.holders.has(claim)));
    if (batch.kind === 'changes') return { kind: 'changes', changed: arrived, removed: replaced };
    return { kind: 'snapshot', leases: [...arrived, ...[...this.departing.values()].map(({ lease }) => lease)] };
  }

  private arrive(lease: Lease): void {
    const key = formatLeaseSubnets(lease);
    this.forget(key); // another address of the node may be in it
    this.present.set(key, lease);
    for (const claim of claimsOf(lease)) this.holders.set(claim, key);
    this.departing.delete(key);
  }

  private depart(key: string, endsAt: number): void {
    const lease = this.forget(key);
    if (lease !== undefined) this.departing.set(key, { lease, endsAt });
  }

  private forget(key: string): Lease | undefined {
    const lease = this.present.get(key);
    if (lease === undefined) return undefined;
    this.present.delete(key);
    for (const claim of claimsOf(lease)) if (this.holders.get(claim) === key) this.holders.delete(claim);
    return lease;
  }

  private take(which: (departing: { readonly lease: Lease; readonly endsAt: number }) => boolean): Lease[] {
    const taken = [...this.departing].filter(([, departing]) => which(departing));
    for (const [key] of taken) this.departing.delete(key);
    return taken.map(([, { lease }]) => lease);
  }
}

/** What no two leases share. A lease that is gone is over at once when another one has its subnet, or its node another lease. */
function claimsOf(lease: Lease): string[] {
  const { publicIp, publicIpv6 } = lease.attributes;
  return [
    ...subnetsOf(lease).map((subnet) => `subnet ${formatPrefix(subnet)}`),
    ...(publicIp === undefined ? [] : [`node ${publicIp}`]),
    ...(publicIpv6 === undefined ? [] : [`node ${publicIpv6}`]),
  ];
}
