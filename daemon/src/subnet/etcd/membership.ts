/**
 * Keeping a lease. flannel renews by writing without a comparison, so that it overwrites a key that meanwhile is another node's, and its
 * watch on its own key ends for good with the first error (reference 1.5). Here a loop compares what etcd has with what it
 * should have until both agree: a notice from the watch is done with only when what it asks for has been done.
 */
import { formatLeaseSubnets, formatLeaseValue, type LeaseAttributes } from '@flannel-ts/flannel/lease';
import { Backoff, Bell, childSignal, sleep } from '../../abort.ts';
import { DaemonError, messageOf } from '../../errors.ts';
import { Repeats } from '../../repeats.ts';
import { monotonicNow } from '../clock.ts';
import type { Membership, Report } from '../manager.ts';
import type { KeyValue } from './client.ts';
import { type Contest, describeContest } from './contest.ts';
import type { EtcdContext, Held, Term } from './context.ts';
import { type Decision, decide, isAsLeft } from './decide.ts';
import { putOnce, renewTerm } from './grant.ts';
import { addressOf, heldByAnother } from './held-by-another.ts';
import { type WatchTimings, watchRange } from './watch.ts';

export interface MembershipSettings {
  readonly marginSeconds: number;
  readonly timings: WatchTimings;
  /** The key existed before this process wrote it. */
  readonly tookOver: boolean;
  /** False after a start without etcd. */
  readonly confirmed: boolean;
  /** What the lease should say; other than `held` says only after a start without etcd. */
  readonly attributes: LeaseAttributes;
}

/** Within this time of taking over a key, another node with our address that runs makes itself known by writing it again. */
const NEWCOMER_MS = 10_000;
/** For so long after another node wrote our key the node is not ready. */
const CONTEST_REPORT_MS = 60_000;
const RETRY_FIRST_MS = 500;
const RETRY_MOST_MS = 10_000;
const LONGEST_TIMER_MS = 2 ** 31 - 1; // setTimeout accepts no more

/** When to renew: the margin before the end, but not sooner than half of the time (for lifetimes shorter than the margin). */
export function renewalDelayMs(now: number, { endsAt, lifetimeMs }: Term, marginSeconds: number): number {
  const margin = Math.min(marginSeconds * 1000, lifetimeMs / 2);
  return Math.max(0, endsAt - margin - now);
}

interface Notice {
  /** Undefined when the key is gone. */
  readonly keyValue: KeyValue | undefined;
}

export class EtcdMembership implements Membership {
  private wanted: LeaseAttributes;
  private wantedValue: string;
  private confirmed: boolean;
  private uncertain = false;
  private wasHeld = false;
  private notice: Notice | undefined;
  private handled: Notice | undefined;
  private contestedAt: number | undefined;
  private contest: Contest | undefined;
  private readonly contests = new Repeats();
  private readonly joinedAt = monotonicNow();
  private readonly bell = new Bell();
  private readonly defence: Backoff;
  private published: (() => void)[] = [];
  private stopping: AbortSignal = new AbortController().signal;

  constructor(
    private readonly context: EtcdContext,
    private held: Held,
    private readonly settings: MembershipSettings,
  ) {
    this.wanted = settings.attributes;
    this.wantedValue = formatLeaseValue(this.wanted);
    this.confirmed = settings.confirmed;
    this.defence = new Backoff(1000, CONTEST_REPORT_MS, context.random);
    if (this.confirmed) this.keep(held);
  }

  get lease(): Held['lease'] {
    return { ...this.held.lease, attributes: this.wanted };
  }

  end(): number | undefined {
    const { term } = this.held;
    return term && Date.now() + term.endsAt - monotonicNow();
  }

  /** Resolves when etcd has it, which needs hold() to run. */
  async publish(attributes: LeaseAttributes, signal: AbortSignal): Promise<void> {
    this.wanted = attributes;
    this.wantedValue = formatLeaseValue(attributes);
    if (!this.isPublished()) {
      await new Promise<void>((resolve) => {
        this.published.push(resolve);
        signal.addEventListener('abort', () => resolve(), { once: true });
        this.bell.ring();
      });
    }
    signal.throwIfAborted();
  }

  /** When it is held again after a pause, another process of this node may have written the key meanwhile. */
  async hold(signal: AbortSignal, report: Report): Promise<void> {
    this.uncertain ||= this.wasHeld;
    this.wasHeld = true;
    this.stopping = signal;
    const tasks = childSignal(signal);
    const watching = this.observe(tasks.signal);
    try {
      await this.loop(signal, report);
    } finally {
      tasks.abort();
      tasks.dispose();
      await watching;
    }
  }

  private async observe(signal: AbortSignal): Promise<void> {
    const { client, log } = this.context;
    const { timings } = this.settings;
    for await (const events of watchRange(client, { key: this.held.key }, { log, timings }, signal)) {
      const last = events.at(-1)!;
      const keyValue = last.type === 'snapshot' ? last.keyValues[0] : last.type === 'put' ? last.keyValue : undefined;
      this.notice = { keyValue };
      this.bell.ring();
    }
  }

  private async loop(signal: AbortSignal, report: Report): Promise<void> {
    const backoff = new Backoff(RETRY_FIRST_MS, RETRY_MOST_MS, this.context.random);
    const repeats = new Repeats();
    const subnets = formatLeaseSubnets(this.held.lease);
    while (!signal.aborted) {
      let waitMs: number;
      try {
        await this.step();
        backoff.reset();
        const over = repeats.over(monotonicNow());
        if (over !== undefined) this.context.log.info(`Etcd has the lease of ${subnets} as it should be again ${over}`);
        const contest = this.contestTrouble();
        if (contest === undefined) this.contests.over(monotonicNow());
        report(contest?.trouble, contest?.remedy);
        waitMs = this.idleMs();
      } catch (error) {
        if (!(error instanceof DaemonError) || error.code !== 'ETCD') throw error;
        const trouble = this.describe(error);
        const line = repeats.failed(`${trouble}; trying again`, monotonicNow());
        if (line !== undefined) this.context.log.warn(line);
        const contest = this.isEndangered() ? { trouble } : this.contestTrouble();
        report(contest?.trouble, contest?.remedy);
        waitMs = backoff.take();
      }
      await this.bell.wait(waitMs, signal);
    }
  }

  /** Makes etcd's key what it should be; throws ETCD when that cannot be done yet. */
  private async step(): Promise<void> {
    const { notice } = this;
    if (!this.confirmed || this.uncertain || this.isNews(notice)) {
      await this.settle();
      this.handled = notice;
    }
    // What it says may be changed while it is written.
    while (!this.isPublished()) await this.settle();
    if (this.renewalInMs() === 0) await this.renew();
  }

  /** A watch that starts again repeats what it has reported before. */
  private isNews(notice: Notice | undefined): boolean {
    if (notice === undefined || notice === this.handled) return false;
    const { keyValue } = notice;
    return keyValue === undefined || !isAsLeft(this.held, keyValue, this.context.reader.read(keyValue)?.node);
  }

  private isPublished(): boolean {
    return formatLeaseValue(this.held.lease.attributes) === this.wantedValue;
  }

  /** Looks the key up and acts on what is there, once. */
  private async settle(): Promise<void> {
    const { client, reader, ownLeaseIds } = this.context;
    const { held, wanted, wantedValue, uncertain, confirmed } = this;
    const present = (await client.range(held.key)).keyValues[0];
    const node = present && reader.read(present)?.node;
    const decision = decide({ held, wanted, wantedValue, present, node, ownLeaseIds, uncertain, confirmed });
    const settled = await this.carryOut(decision, present, wanted);
    if (settled === undefined) return this.settle(); // it changed in between
    this.confirmed = true;
    this.uncertain = false;
    this.keep(settled);
  }

  /** Undefined when the key was changed by somebody else meanwhile. */
  private async carryOut(
    decision: Decision,
    present: KeyValue | undefined,
    wanted: LeaseAttributes,
  ): Promise<Held | undefined> {
    const { held, context } = this;
    const subnets = formatLeaseSubnets(held.lease);
    const lease = { ...held.lease, attributes: wanted };
    switch (decision.kind) {
      case 'keep':
        if (!this.confirmed) context.log.info(`The kept lease of ${subnets} still is this node's`);
        return this.confirmed ? held : this.adopt(held, present!, wanted);
      case 'adopt':
        return this.adopt(held, present!, wanted);
      case 'publish':
        return this.write(present!, wanted);
      case 'create': {
        const again = await this.certainly(() =>
          putOnce(context, { lease, key: held.key, expected: 'absent', reservation: held.leaseId === '0' }),
        );
        if (again) context.log.warn(`The lease of ${subnets} was gone from etcd: leased the same subnet again`);
        return again;
      }
      case 'defend':
        return this.defend(decision.why, present!, wanted);
      case 'yield':
        throw this.taken(present!);
    }
  }

  private async adopt(
    held: Held,
    { modRevision, leaseId }: KeyValue,
    wanted: LeaseAttributes,
  ): Promise<Held | undefined> {
    const adopted = { ...held, lease: { ...held.lease, attributes: wanted }, modRevision, leaseId };
    if (leaseId === '0') return { ...adopted, term: undefined };
    const term = await renewTerm(this.context, leaseId);
    return term && { ...adopted, term };
  }

  /** With the etcd lease that the key has. */
  private async write(present: KeyValue, wanted: LeaseAttributes): Promise<Held | undefined> {
    const { client } = this.context;
    const value = formatLeaseValue(wanted);
    const written = await this.certainly(() =>
      client.putIf(present.key, { modRevision: present.modRevision }, value, present.leaseId),
    );
    return written === undefined ? undefined : this.adopt(this.held, { ...present, modRevision: written }, wanted);
  }

  private async defend(
    why: Extract<Decision, { kind: 'defend' }>['why'],
    present: KeyValue,
    wanted: LeaseAttributes,
  ): Promise<Held | undefined> {
    const { held, context, settings } = this;
    const now = monotonicNow();
    const subnets = formatLeaseSubnets(held.lease);
    if (why !== 'unreadable' && settings.tookOver && now - this.joinedAt < NEWCOMER_MS) {
      context.kept.setLease(() => undefined); // it is no proof any more
      throw heldByAnother(held.lease, wanted);
    }
    this.contest = describeContest(why, { subnets, address: addressOf(wanted), key: held.key, value: present.value });
    const line = this.contests.failed(`Wrote the own lease again: ${this.contest.trouble}`, now);
    if (line !== undefined) context.log.warn(line);
    // At once the first time, then slower and slower: two that both insist must not keep etcd busy.
    const { contestedAt } = this;
    this.contestedAt = now;
    if (contestedAt === undefined || now - contestedAt > 2 * CONTEST_REPORT_MS) this.defence.reset();
    else await sleep(this.defence.take(), this.stopping);
    if (present.leaseId !== '0' || held.leaseId === '0') return this.write(present, wanted);
    const lease = { ...held.lease, attributes: wanted };
    return this.certainly(() =>
      putOnce(context, { lease, key: held.key, expected: { modRevision: present.modRevision }, reservation: false }),
    );
  }

  private async renew(): Promise<void> {
    const { held, context } = this;
    const term = await renewTerm(context, held.leaseId);
    if (term === undefined) return this.settle();
    context.log.info({ subnet: formatLeaseSubnets(held.lease) }, 'Renewed the lease');
    this.keep({ ...held, term });
  }

  /** After a failed write nobody knows whether it happened. */
  private async certainly<T>(write: () => Promise<T>): Promise<T> {
    this.uncertain = true;
    return write();
  }

  private keep(held: Held): void {
    this.held = held;
    const { key, modRevision, leaseId, term } = held;
    const value = formatLeaseValue(held.lease.attributes);
    this.context.kept.setLease(() => {
      const remainingMs = term && Math.max(0, Math.round(term.endsAt - monotonicNow()));
      return { key, value, modRevision, leaseId, ...(remainingMs !== undefined && { remainingMs }) };
    });
    if (!this.isPublished()) return;
    for (const resolve of this.published.splice(0)) resolve();
  }

  private renewalInMs(): number {
    const { term } = this.held;
    if (term === undefined) return Number.POSITIVE_INFINITY;
    return renewalDelayMs(monotonicNow(), term, this.settings.marginSeconds);
  }

  private idleMs(): number {
    const contest = this.contestedAt === undefined ? LONGEST_TIMER_MS : CONTEST_REPORT_MS;
    return Math.min(this.renewalInMs(), contest, LONGEST_TIMER_MS);
  }

  private contestTrouble(): Contest | undefined {
    const { contestedAt } = this;
    if (contestedAt === undefined || monotonicNow() - contestedAt >= CONTEST_REPORT_MS) return undefined;
    return this.contest;
  }

  /** Lost or soon to be: a renewal that fails long before the end is no trouble yet. */
  private isEndangered(): boolean {
    const { notice, settings } = this;
    const { term } = this.held;
    if (this.isNews(notice)) return true;
    if (term === undefined) return false;
    return term.endsAt - monotonicNow() < Math.min(settings.marginSeconds * 1000, term.lifetimeMs / 2) / 2;
  }

  private describe(error: DaemonError): string {
    const subnets = formatLeaseSubnets(this.held.lease);
    const { notice } = this;
    if (!this.isNews(notice)) return `Cannot renew the lease of ${subnets} yet: ${messageOf(error)}`;
    if (notice?.keyValue === undefined) {
      return `The lease of ${subnets} is gone from etcd and cannot be written again yet: ${messageOf(error)}`;
    }
    return `The lease of ${subnets} was changed in etcd and cannot be put right yet: ${messageOf(error)}`;
  }

  private taken(present: KeyValue): DaemonError {
    const { context, held } = this;
    context.kept.setLease(() => undefined);
    const by = context.reader.read(present)?.node;
    return new DaemonError(
      'LEASE_TAKEN',
      `The lease of ${formatLeaseSubnets(held.lease)} was lost and now is that of ${by ? addressOf(by) : 'somebody unknown'}: restart flanneld and this node's pods to get another subnet`,
    );
  }
}
