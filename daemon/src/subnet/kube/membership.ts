/**
 * This node's annotations and its condition NetworkUnavailable, kept as they should be: a loop compares what the Node object has with
 * what it should have, after each event and each change of its own. flannel writes them once, at its start.
 */
import {
  formatLeaseKey,
  formatLeaseSubnets,
  formatLeaseValue,
  type Lease,
  type LeaseAttributes,
  type LeaseSubnets,
} from '@flannel-ts/flannel/lease';
import { FAMILIES } from '@flannel-ts/inet/family';
import { Backoff, Bell, childSignal } from '../../abort.ts';
import { DaemonError, messageOf } from '../../errors.ts';
import { Repeats } from '../../repeats.ts';
import { monotonicNow } from '../clock.ts';
import type { Membership, Report } from '../manager.ts';
import { formatAnnotations, overwrites } from './annotations.ts';
import { type KubeContext, nodePath } from './context.ts';
import { annotationPatch, type Condition, type KubeNode, type NodeObject, podSubnets } from './node.ts';
import { watchNodes } from './watch.ts';

/** Of a node whose overlay serves: flannel's, for which cloud providers and scripts look. */
const SERVES = { status: 'False', reason: 'FlannelIsUp', message: 'Flannel is running on this node' } as const;
const LONGEST_WAIT_MS = 600_000;
/** Of two writes of the same that were undone in between. */
const CONTEST_MS = 60_000;
const MOST_OF_A_MESSAGE = 1000;

export interface MembershipStart {
  readonly subnets: LeaseSubnets;
  /** The node's own, before an operator's overwrites. */
  readonly attributes: LeaseAttributes;
  /** As it was written; undefined after a start without the API server. */
  readonly node: KubeNode | undefined;
}

export class KubeMembership implements Membership {
  private attributes: LeaseAttributes;
  /** As last seen; undefined: removed, or never seen. */
  private node: KubeNode | undefined;
  private isGone = false;
  private lastWrite: { readonly text: string; readonly at: number } | undefined;
  private condition: Omit<Condition, 'type'> | undefined;
  private published: (() => void)[] = [];
  private readonly subnets: LeaseSubnets;
  private readonly bell = new Bell();
  private readonly contest = new Backoff(1000, CONTEST_MS);
  private contestedAt: number | undefined;

  constructor(
    private readonly context: KubeContext,
    private readonly name: string,
    start: MembershipStart,
  ) {
    this.subnets = start.subnets;
    this.attributes = start.attributes;
    this.node = start.node;
    if (start.node !== undefined) this.keep();
  }

  get lease(): Lease {
    return { ...this.subnets, attributes: this.wanted() };
  }

  /** Resolves when the Node object has it, which needs hold() to run. */
  async publish(attributes: LeaseAttributes, signal: AbortSignal): Promise<void> {
    this.attributes = attributes;
    if (!this.isPublished()) {
      await new Promise<void>((resolve) => {
        this.published.push(resolve);
        signal.addEventListener('abort', () => resolve(), { once: true });
        this.bell.ring();
      });
    }
    signal.throwIfAborted();
  }

  serving(ready: boolean, reason = 'flanneld is not ready'): void {
    if (!this.context.setNetworkUnavailable) return;
    this.condition = ready
      ? SERVES
      : { status: 'True', reason: 'FlannelIsNotReady', message: reason.slice(0, MOST_OF_A_MESSAGE) };
    this.bell.ring();
  }

  async hold(signal: AbortSignal, report: Report): Promise<void> {
    const tasks = childSignal(signal);
    const watching = this.observe(tasks.signal);
    try {
      await Promise.race([watching, this.loop(tasks.signal, report)]);
    } finally {
      tasks.abort();
      tasks.dispose();
      await watching.catch(() => {}); // its failure was thrown above
    }
  }

  private async observe(signal: AbortSignal): Promise<void> {
    const { client, read, log, timings } = this.context;
    for await (const events of watchNodes({ client, read, name: this.name, log, timings }, signal)) {
      const last = events.at(-1)!;
      const node = last.type === 'snapshot' ? last.nodes[0] : last.type === 'put' ? last.node : undefined;
      this.isGone = node === undefined;
      this.node = node;
      this.bell.ring();
    }
  }

  private async loop(signal: AbortSignal, report: Report): Promise<void> {
    const { timings, log } = this.context;
    const backoff = new Backoff(timings.retryFirstMs, timings.retryMostMs);
    const repeats = new Repeats();
    while (!signal.aborted) {
      let waitMs = LONGEST_WAIT_MS;
      try {
        report(this.isGone ? this.goneReason() : undefined);
        waitMs = await this.step(signal);
        backoff.reset();
        const over = repeats.over(monotonicNow());
        if (over !== undefined)
          log.info(`The annotations of the node ${this.name} are as they should be again ${over}`);
      } catch (error) {
        if (signal.aborted) return;
        if (!(error instanceof DaemonError) || error.code !== 'KUBERNETES') throw error;
        const trouble = `Cannot write the annotations of the node ${this.name} yet: ${messageOf(error)}`;
        const line = repeats.failed(`${trouble}; trying again`, monotonicNow());
        if (line !== undefined) log.warn(line);
        // What others know of this node is not what it is.
        if (!this.isPublished() && this.node !== undefined) report(trouble);
        waitMs = backoff.take();
      }
      await this.bell.wait(waitMs, signal);
    }
  }

  private goneReason(): string {
    return `the node ${this.name} was removed from Kubernetes: kubelet registers it again when it is restarted; pods keep their network meanwhile`;
  }

  /** Makes the Node object what it should be; resolves with how long to wait, unless something happens. */
  private async step(signal: AbortSignal): Promise<number> {
    const { client, names, read, log } = this.context;
    const { node } = this;
    if (node === undefined) return LONGEST_WAIT_MS;
    this.checkSubnets(node);
    const annotations = annotationPatch(node.annotations, this.wantedAnnotations(), names);
    const condition = this.conditionPatch(node);
    if (annotations === undefined && condition === undefined) {
      this.keep();
      return LONGEST_WAIT_MS;
    }
    const text = JSON.stringify([annotations, condition]);
    const waitMs = this.contestPauseMs(text);
    if (waitMs > 0) return waitMs;
    const patch = {
      // Not into a node of the same name that has come in its place meanwhile.
      metadata: { uid: node.uid, ...(annotations && { annotations }) },
      ...(condition && { status: { conditions: [condition] } }),
    };
    const written = await client.patch<NodeObject>(`${nodePath(this.name)}/status`, patch, signal);
    this.lastWrite = { text, at: monotonicNow() };
    if (this.node === node) this.node = read(written);
    if (annotations !== undefined)
      log.info({ node: this.name }, 'Published what other nodes have to know in annotations');
    if (condition !== undefined) log.info({ node: this.name, unavailable: condition.status }, 'Set NetworkUnavailable');
    this.bell.ring(); // compares once more
    return LONGEST_WAIT_MS;
  }

  /** Somebody who undoes the same write again and again must not keep the API server busy. */
  private contestPauseMs(text: string): number {
    const { lastWrite } = this;
    const now = monotonicNow();
    if (lastWrite === undefined || lastWrite.text !== text || now - lastWrite.at > CONTEST_MS) {
      this.contestedAt = undefined;
      this.contest.reset();
      return 0;
    }
    this.contestedAt ??= now + this.contest.take();
    if (now < this.contestedAt) return this.contestedAt - now;
    this.contestedAt = undefined;
    return 0;
  }

  /** Kubernetes never changes a podCIDR; a node that was removed and came again may have another. */
  private checkSubnets(node: KubeNode): void {
    const families = FAMILIES.filter((family) => (family === 4 ? this.subnets.subnet : this.subnets.ipv6Subnet));
    const subnets = podSubnets(node, families);
    if (subnets === undefined || formatLeaseSubnets(subnets) === formatLeaseSubnets(this.subnets)) return;
    this.context.kept.setLease(() => undefined);
    throw new DaemonError(
      'LEASE_TAKEN',
      `Kubernetes has given the node ${this.name} another podCIDR, ${formatLeaseSubnets(subnets)} instead of ${formatLeaseSubnets(this.subnets)}: its pods keep addresses of the former one until they are made anew, so drain it`,
    );
  }

  /** What peers are told: an operator's word goes before the node's own address. */
  private wanted(): LeaseAttributes {
    return { ...this.attributes, ...(this.node && overwrites(this.node.annotations, this.context.names)) };
  }

  private wantedAnnotations(): Readonly<Record<string, string>> {
    return formatAnnotations(this.wanted(), this.context.names);
  }

  private isPublished(): boolean {
    const { node, context } = this;
    return (
      node !== undefined && annotationPatch(node.annotations, this.wantedAnnotations(), context.names) === undefined
    );
  }

  private conditionPatch({ networkUnavailable: present }: KubeNode): (Condition & Record<string, string>) | undefined {
    const { condition } = this;
    if (condition === undefined) return undefined;
    // Reason and message alone are no news worth a write, while it serves.
    if (
      present?.status === condition.status &&
      (condition.status === 'False' || present.message === condition.message)
    ) {
      return undefined;
    }
    const now = `${new Date().toISOString().slice(0, 19)}Z`;
    return { type: 'NetworkUnavailable', ...condition, lastHeartbeatTime: now, lastTransitionTime: now };
  }

  private keep(): void {
    const lease = { ...this.subnets, attributes: this.attributes };
    const kept = {
      key: formatLeaseKey(lease),
      value: formatLeaseValue(lease.attributes),
      modRevision: '0',
      leaseId: '0',
    };
    this.context.kept.setLease(() => kept);
    if (!this.isPublished()) return;
    for (const resolve of this.published.splice(0)) resolve();
  }
}
