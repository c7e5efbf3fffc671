/**
 * A lease that is gone from the source stays in force for a moment. A node whose lease was revoked, or whose key somebody deleted
 * or overwrote, writes it again within milliseconds: its peers would drop what they send to it meanwhile.
 */
import { type Lease, type LeaseSubnets, subnetsOf } from '@flannel-ts/flannel/lease';
import { prefixKey } from '@flannel-ts/inet/prefix';
import { childSignal, sleep } from '../abort.ts';
import { monotonicNow } from './clock.ts';
import type { LeaseBatch } from './manager.ts';
import { type Leases, type SubnetsKey, subnetsKey } from './table.ts';

const GRACE_MS = 2000;

/** The batches that `open` gives, with each removal later. `inForce` is where the consumer applies each one before it asks for the next. */
export async function* withGrace(
  open: (signal: AbortSignal) => AsyncIterable<LeaseBatch>,
  inForce: Leases,
  signal: AbortSignal,
  graceMs = GRACE_MS,
): AsyncGenerator<LeaseBatch> {
  const running = childSignal(signal);
  const departures = new Departures(inForce, graceMs);
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
  /** In the order of their ends. */
  private readonly departing = new Map<SubnetsKey, { readonly lease: Lease; readonly endsAt: number }>();

  constructor(
    /** Those of all batches before, with the departing ones. */
    private readonly inForce: Leases,
    private readonly graceMs: number,
  ) {}

  /** When the next lease ends. */
  get due(): number | undefined {
    return this.departing.values().next().value?.endsAt;
  }

  takeDue(now: number): Lease[] {
    return this.take(({ endsAt }) => endsAt <= now);
  }

  apply(batch: LeaseBatch, now: number): LeaseBatch {
    const arrived = new Map(
      (batch.kind === 'snapshot' ? batch.leases : batch.changed).map((each) => [subnetsKey(each), each]),
    );
    const gone =
      batch.kind === 'changes'
        ? batch.removed
        : [...this.inForce.values()].filter((each) => !arrived.has(subnetsKey(each)));
    for (const subnets of gone) this.depart(subnets, now + this.graceMs);
    for (const key of arrived.keys()) this.departing.delete(key);
    const replaced = this.takeReplaced(arrived);
    if (batch.kind === 'changes') return { kind: 'changes', changed: batch.changed, removed: replaced };
    return { kind: 'snapshot', leases: [...batch.leases, ...[...this.departing.values()].map(({ lease }) => lease)] };
  }

  private depart(subnets: LeaseSubnets, endsAt: number): void {
    const key = subnetsKey(subnets);
    const lease = this.inForce.get(subnets);
    if (lease !== undefined && !this.departing.has(key)) this.departing.set(key, { lease, endsAt });
  }

  /** A lease that is gone is over at once when another one has its subnet, or its node another lease. */
  private takeReplaced(arrived: ReadonlyMap<SubnetsKey, Lease>): Lease[] {
    if (this.departing.size === 0) return [];
    const claims = new Set([...arrived.values()].flatMap(claimsOf));
    for (const lease of this.inForce.values()) {
      const key = subnetsKey(lease);
      if (!arrived.has(key) && !this.departing.has(key)) for (const claim of claimsOf(lease)) claims.add(claim);
    }
    return this.take(({ lease }) => claimsOf(lease).some((claim) => claims.has(claim)));
  }

  private take(which: (departing: { readonly lease: Lease; readonly endsAt: number }) => boolean): Lease[] {
    const taken = [...this.departing].filter(([, departing]) => which(departing));
    for (const [key] of taken) this.departing.delete(key);
    return taken.map(([, { lease }]) => lease);
  }
}

/** What no two leases share. */
function claimsOf(lease: Lease): string[] {
  const { publicIp, publicIpv6 } = lease.attributes;
  return [
    ...subnetsOf(lease).map((subnet) => `subnet ${prefixKey(subnet)}`),
    ...(publicIp === undefined ? [] : [`node ${publicIp}`]),
    ...(publicIpv6 === undefined ? [] : [`node ${publicIpv6}`]),
  ];
}
