/** Between etcd's keys and values and leases. */
import {
  formatLeaseKey,
  type Lease,
  type LeaseSubnets,
  parseLeaseKey,
  parseLeaseValue,
} from '@flannel-ts/flannel/lease';
import type { Logger } from 'pino';
import { messageOf } from '../../errors.ts';
import type { Occupied } from '../allocate.ts';
import { type KeyValue, prefixRangeEnd } from './client.ts';
import type { WatchRange } from './watch.ts';

/** A lease as it stands in etcd. */
export type LeaseRecord = Occupied & { readonly lease: Lease; readonly keyValue: KeyValue };

export class Layout {
  constructor(private readonly prefix: string) {}

  get configKey(): string {
    return `${this.prefix}/config`;
  }

  /** flannel's own prefix has no slash at its end; with it, a neighbour like `<prefix>/subnets-old` stays out. */
  get subnets(): WatchRange {
    return { key: `${this.prefix}/subnets/`, rangeEnd: prefixRangeEnd(`${this.prefix}/subnets/`) };
  }

  keyOf(subnets: LeaseSubnets): string {
    return `${this.prefix}/subnets/${formatLeaseKey(subnets)}`;
  }

  subnetOf(key: string): ReturnType<typeof parseLeaseKey> {
    return parseLeaseKey(key.slice(this.prefix.length + '/subnets/'.length));
  }
}

/** Logs each record that cannot be read once. */
export class RecordReader {
  private readonly complained = new Set<string>();

  constructor(
    private readonly layout: Layout,
    private readonly log: Logger,
  ) {}

  /** Undefined for what is no lease: flannel passes over it, too. */
  read(keyValue: KeyValue): LeaseRecord | undefined {
    const parsed = this.layout.subnetOf(keyValue.key);
    if (parsed === undefined) return this.complain(keyValue, 'its name is no subnet');
    try {
      const attributes = parseLeaseValue(keyValue.value);
      const lease: Lease = { ...parsed, attributes };
      return { ...parsed, lease, keyValue, node: attributes };
    } catch (error) {
      return this.complain(keyValue, messageOf(error));
    }
  }

  readAll(keyValues: readonly KeyValue[]): LeaseRecord[] {
    return keyValues.map((keyValue) => this.read(keyValue)).filter((record) => record !== undefined);
  }

  private complain(keyValue: KeyValue, reason: string): undefined {
    const mark = `${keyValue.key}@${keyValue.modRevision}`;
    if (this.complained.has(mark)) return;
    if (this.complained.size > 10_000) this.complained.clear();
    this.complained.add(mark);
    this.log.warn({ key: keyValue.key }, `Passed over a key among the leases: ${reason}`);
  }
}

/**
 * A subnet with an unreadable value is in use by whoever wrote it: allocation must not give it away. Without
 * an address no node considers it its own.
 */
export function occupiedBy(layout: Layout, reader: RecordReader, keyValue: KeyValue): LeaseRecord | undefined {
  const record = reader.read(keyValue);
  const parsed = layout.subnetOf(keyValue.key);
  if (record !== undefined || parsed === undefined) return record;
  return { ...parsed, lease: { ...parsed, attributes: { backendType: '' } }, keyValue, node: {} };
}
