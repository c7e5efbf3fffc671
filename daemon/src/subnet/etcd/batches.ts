/** From events on keys to batches of leases. */
import type { Lease, LeaseSubnets } from '@flannel-ts/flannel/lease';
import type { LeaseBatch } from '../manager.ts';
import type { EtcdContext } from './context.ts';
import type { RangeEvent } from './watch.ts';

/** Usually one batch; a snapshot within the events begins another. */
export function leaseBatches({ reader, layout }: EtcdContext, events: readonly RangeEvent[]): LeaseBatch[] {
  const batches: LeaseBatch[] = [];
  // By key: the last event counts.
  let changed = new Map<string, Lease>();
  let removed = new Map<string, LeaseSubnets>();
  const flush = (): void => {
    if (changed.size + removed.size > 0) {
      batches.push({ kind: 'changes', changed: [...changed.values()], removed: [...removed.values()] });
    }
    changed = new Map();
    removed = new Map();
  };
  const remove = (key: string): void => {
    changed.delete(key);
    const subnets = layout.subnetOf(key);
    if (subnets !== undefined) removed.set(key, subnets);
  };
  for (const event of events) {
    if (event.type === 'snapshot') {
      flush();
      batches.push({ kind: 'snapshot', leases: reader.readAll(event.keyValues).map(({ lease }) => lease) });
    } else if (event.type === 'delete') {
      remove(event.key);
    } else {
      const record = reader.read(event.keyValue);
      // A value that became unreadable: the attributes known before are no longer true.
      if (record === undefined) {
        remove(event.keyValue.key);
        continue;
      }
      removed.delete(event.keyValue.key);
      changed.set(event.keyValue.key, record.lease);
    }
  }
  flush();
  return batches;
}
