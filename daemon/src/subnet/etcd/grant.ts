/** Writing a key with an etcd lease, in a way that an answer that gets lost leaves neither doubt nor a leaked lease. */
import { formatLeaseValue, type Lease } from '@flannel-ts/flannel/lease';
import { monotonicNow } from '../clock.ts';
import { type Expectation, isLeaseNotFound, type KnownKey } from './client.ts';
import type { EtcdContext, Held, Term } from './context.ts';

/** One etcd lease: granted at first need, used for every try, revoked when no key has it in the end. */
export class Grant {
  private granted: { readonly id: string; readonly term: Term } | undefined;
  private kept = false;

  constructor(private readonly context: EtcdContext) {}

  async get(): Promise<{ readonly id: string; readonly term: Term }> {
    if (this.granted === undefined) {
      const start = monotonicNow();
      const { id, ttlSeconds } = await this.context.client.grantLease(this.context.ttlSeconds);
      this.context.ownLeaseIds.add(id);
      this.granted = { id, term: termFrom(start, ttlSeconds) };
    }
    return this.granted;
  }

  /** A key has it, or may have it. */
  keep(): void {
    this.kept = true;
  }

  /** Etcd does not know it any more: the next get() has a new one. */
  forget(): void {
    this.granted = undefined;
    this.kept = false;
  }

  async revokeUnlessKept(): Promise<void> {
    if (this.granted === undefined || this.kept) return;
    this.context.ownLeaseIds.delete(this.granted.id);
    // It ends by itself as well: a failure here costs nothing.
    await this.context.client.revokeLease(this.granted.id).catch(() => undefined);
  }
}

export interface PutRequest {
  readonly lease: Lease;
  readonly key: string;
  readonly expected: Expectation;
  readonly reservation: boolean;
  /** Deleted in the same step. */
  readonly insteadOf?: readonly KnownKey[];
}

/** Undefined when the key is not as expected. */
export async function put(context: EtcdContext, grant: Grant, request: PutRequest): Promise<Held | undefined> {
  const { lease, key, expected, reservation, insteadOf } = request;
  const { id, term } = reservation ? { id: '0', term: undefined } : await grant.get();
  const held = { lease, key, leaseId: id, term };
  try {
    const written = await context.client.putIf(key, expected, formatLeaseValue(lease.attributes), id, insteadOf);
    if (written !== undefined) {
      grant.keep();
      return { ...held, modRevision: written };
    }
    if (reservation) return undefined;
    // The answer to a first try may have been lost, and the second try have found our own key: its lease id shows that.
    const present = (await context.client.range(key)).keyValues[0];
    if (present?.leaseId !== id) return undefined;
    grant.keep();
    return { ...held, modRevision: present.modRevision };
  } catch (error) {
    if (isLeaseNotFound(error)) grant.forget();
    else grant.keep();
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

/** Undefined when the etcd lease is gone. */
export async function renewTerm(context: EtcdContext, leaseId: string): Promise<Term | undefined> {
  const start = monotonicNow();
  const seconds = await context.client.keepAlive(leaseId);
  if (seconds === undefined) return undefined;
  context.ownLeaseIds.add(leaseId);
  return termFrom(start, seconds);
}

function termFrom(start: number, seconds: number): Term {
  return { endsAt: start + seconds * 1000, lifetimeMs: seconds * 1000 };
}
