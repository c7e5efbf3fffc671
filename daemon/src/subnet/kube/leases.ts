/** From events on nodes to batches of leases. */
import { formatLeaseSubnets, formatLeaseValue, type Lease, type LeaseSubnets } from '@flannel-ts/flannel/lease';
import type { Family } from '@flannel-ts/inet/family';
import type { LeaseBatch } from '../manager.ts';
import type { KubeContext } from './context.ts';
import { type KubeNode, leaseOf } from './node.ts';
import type { NodeEvent } from './watch.ts';

/**
 * Knows the lease of each node: most events of a node are about something else, and are no news. flannel compares the data of both
 * families, and passes over an update of one (kube.go, handleUpdateLeaseEvent).
 */
export class LeaseReader {
  private readonly byNode = new Map<string, Lease>();
  private readonly complaints = new Map<string, string>();

  constructor(
    private readonly context: Pick<KubeContext, 'names' | 'log'>,
    private readonly families: readonly Family[],
  ) {}

  get leases(): Iterable<Lease> {
    return this.byNode.values();
  }

  /** Undefined for a node without one; one that cannot be read is told once. */
  leaseOf(node: KubeNode): Lease | undefined {
    const lease = leaseOf(node, this.families, this.context.names);
    if (typeof lease !== 'string') {
      this.complaints.delete(node.name);
      return lease;
    }
    if (this.complaints.get(node.name) !== lease) {
      this.complaints.set(node.name, lease);
      this.context.log.warn({ node: node.name }, `Passed over a node: ${lease}`);
    }
    return undefined;
  }

  /** Usually one batch; a snapshot within the events begins another. */
  batches(events: readonly NodeEvent[]): LeaseBatch[] {
    const batches: LeaseBatch[] = [];
    let before = new Map<string, Lease | undefined>();
    const flush = (): void => {
      const batch = this.changesSince(before);
      if (batch !== undefined) batches.push(batch);
      before = new Map();
    };
    for (const event of events) {
      if (event.type === 'snapshot') {
        flush();
        this.byNode.clear();
        for (const node of event.nodes) this.set(node.name, this.leaseOf(node));
        batches.push({ kind: 'snapshot', leases: [...this.byNode.values()] });
        continue;
      }
      const { name } = event.node;
      if (!before.has(name)) before.set(name, this.byNode.get(name));
      this.set(name, event.type === 'delete' ? undefined : this.leaseOf(event.node));
    }
    flush();
    return batches;
  }

  private set(name: string, lease: Lease | undefined): void {
    if (lease === undefined) this.byNode.delete(name);
    else this.byNode.set(name, lease);
  }

  private changesSince(before: ReadonlyMap<string, Lease | undefined>): LeaseBatch | undefined {
    const changed = new Map<string, Lease>();
    const removed = new Map<string, LeaseSubnets>();
    for (const [name, was] of before) {
      const is = this.byNode.get(name);
      if (was !== undefined && (is === undefined || formatLeaseSubnets(was) !== formatLeaseSubnets(is))) {
        removed.set(formatLeaseSubnets(was), was);
      }
      if (is === undefined || (was !== undefined && sameLease(was, is))) continue;
      changed.set(formatLeaseSubnets(is), is);
    }
    // A subnet that went from one node to another is a change.
    for (const subnets of changed.keys()) removed.delete(subnets);
    if (changed.size + removed.size === 0) return undefined;
    return { kind: 'changes', changed: [...changed.values()], removed: [...removed.values()] };
  }
}

function sameLease(a: Lease, b: Lease): boolean {
  return (
    formatLeaseSubnets(a) === formatLeaseSubnets(b) && formatLeaseValue(a.attributes) === formatLeaseValue(b.attributes)
  );
}
