/** The subnet manager on etcd, with flannel's layout (reference 2.1). */

import { SUBNET_TTL_SECONDS } from '@flannel-ts/flannel/defaults';
import type { Lease, LeaseSubnets } from '@flannel-ts/flannel/lease';
import { type NetworkConfig, parseNetworkConfig } from '@flannel-ts/flannel/network-config';
import type { Ip } from '@flannel-ts/inet/ip';
import type { Logger } from 'pino';
import { sleep } from '../../abort.ts';
import { messageOf } from '../../errors.ts';
import type { AcquireRequest, LeaseEvent, SubnetManager } from '../manager.ts';
import { acquire, type Held, type Shop } from './acquire.ts';
import { EtcdClient } from './client.ts';
import { hold } from './hold.ts';
import { Layout, RecordReader } from './records.ts';
import type { EtcdOptions } from './settings.ts';
import { type RangeEvent, WATCH_TIMINGS, type WatchTimings, watchRange } from './watch.ts';

export interface EtcdManagerSettings {
  readonly renewMarginSeconds?: number;
  /** Shorter in tests only: real flanneld has 24 hours. */
  readonly ttlSeconds?: number;
  readonly timings?: WatchTimings;
  readonly configRetryMs?: number;
  readonly random?: () => number;
}

export class EtcdSubnetManager implements SubnetManager {
  private readonly client: EtcdClient;
  private readonly shop: Shop;
  private readonly timings: WatchTimings;
  private readonly held = new Map<string, Held>();

  constructor(
    options: EtcdOptions,
    private readonly log: Logger,
    private readonly settings: EtcdManagerSettings = {},
  ) {
    this.client = new EtcdClient(options);
    this.timings = settings.timings ?? WATCH_TIMINGS;
    const layout = new Layout(options.prefix);
    this.shop = {
      client: this.client,
      layout,
      reader: new RecordReader(layout, log),
      log,
      ttlSeconds: settings.ttlSeconds ?? SUBNET_TTL_SECONDS,
      random: settings.random ?? Math.random,
    };
  }

  async getNetworkConfig(signal: AbortSignal): Promise<NetworkConfig> {
    const key = this.shop.layout.configKey;
    let lastReason = '';
    for (;;) {
      signal.throwIfAborted();
      const reason = await this.readConfig(key);
      if (typeof reason !== 'string') return reason;
      if (reason !== lastReason) this.log.warn({ key }, `Waiting for the network config: ${reason}`);
      lastReason = reason;
      await sleep(this.settings.configRetryMs ?? 1000, signal);
    }
  }

  async *watchNetworkConfig(signal: AbortSignal): AsyncGenerator<NetworkConfig> {
    const key = this.shop.layout.configKey;
    for await (const events of watchRange(this.client, { key }, this.log, signal, this.timings)) {
      const last = events.at(-1)!;
      const record = last.type === 'snapshot' ? last.keyValues[0] : last.type === 'put' ? last.keyValue : undefined;
      if (record === undefined) continue; // deleted: what was there stays in force
      let config: NetworkConfig;
      try {
        config = parseNetworkConfig(record.value);
      } catch (error) {
        this.log.warn({ key }, `The changed network config has no effect: ${messageOf(error)}`);
        continue;
      }
      yield config;
    }
  }

  async acquireLease(request: AcquireRequest, signal: AbortSignal): Promise<Lease> {
    const held = await acquire(this.shop, request, signal);
    this.held.set(held.key, held);
    return held.lease;
  }

  async holdLease(lease: Lease, signal: AbortSignal): Promise<void> {
    const held = this.held.get(this.shop.layout.keyOf(lease));
    if (held === undefined)
      throw new Error('holdLease() needs a lease that acquireLease() of the same manager returned');
    const marginSeconds = this.settings.renewMarginSeconds ?? 3600;
    const onHeld = (now: Held) => void this.held.set(now.key, now);
    await hold(this.shop, held, { marginSeconds, timings: this.timings, onHeld }, signal);
  }

  leaseEnd(lease: Lease): number | undefined {
    return this.held.get(this.shop.layout.keyOf(lease))?.expiresAt;
  }

  async *watchLeases(signal: AbortSignal): AsyncGenerator<LeaseEvent> {
    for await (const events of watchRange(this.client, this.shop.layout.subnets, this.log, signal, this.timings)) {
      for (const event of events) {
        const leaseEvent = this.leaseEventFrom(event);
        if (leaseEvent !== undefined) yield leaseEvent;
      }
    }
  }

  async releaseLeases(address: Ip, signal: AbortSignal): Promise<readonly LeaseSubnets[]> {
    const { key, rangeEnd } = this.shop.layout.subnets;
    const released: LeaseSubnets[] = [];
    // Once more when a key changed under our hands, by a renewal of the daemon on this node.
    for (let again = true; again && !signal.aborted; ) {
      again = false;
      const listed = await this.client.range(key, rangeEnd);
      for (const record of this.shop.reader.readAll(listed.keyValues)) {
        const { keyValue, lease, node } = record;
        const isIts = node.publicIp === address || node.publicIpv6 === address;
        if (!isIts || keyValue.leaseId === '0') continue;
        const deleted = await this.client.deleteIf(keyValue.key, { modRevision: keyValue.modRevision });
        if (deleted === undefined) again = true;
        else released.push(lease);
      }
    }
    return released;
  }

  close(): void {
    this.client.close();
  }

  /** The config, or the reason why there is none. */
  private async readConfig(key: string): Promise<NetworkConfig | string> {
    try {
      const [record] = (await this.client.range(key)).keyValues;
      if (record === undefined) return `the key ${key} is not there`;
      return parseNetworkConfig(record.value);
    } catch (error) {
      return messageOf(error);
    }
  }

  private leaseEventFrom(event: RangeEvent): LeaseEvent | undefined {
    const { reader, layout } = this.shop;
    switch (event.type) {
      case 'snapshot':
        return { type: 'snapshot', leases: reader.readAll(event.keyValues).map((record) => record.lease) };
      case 'put': {
        const record = reader.read(event.keyValue);
        if (record !== undefined) return { type: 'added', lease: record.lease };
        // Its value became unreadable: the attributes known before are no longer true.
        return this.removed(layout.subnetOf(event.keyValue.key));
      }
      case 'delete':
        return this.removed(layout.subnetOf(event.key));
    }
  }

  private removed(subnets: LeaseSubnets | undefined): LeaseEvent | undefined {
    return subnets && { type: 'removed', subnets };
  }
}
