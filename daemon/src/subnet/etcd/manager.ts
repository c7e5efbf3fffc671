/** The subnet manager on etcd, with flannel's layout (reference 2.1). */

import { SUBNET_TTL_SECONDS } from '@flannel-ts/flannel/defaults';
import type { LeaseSubnets } from '@flannel-ts/flannel/lease';
import { type NetworkConfig, parseNetworkConfig } from '@flannel-ts/flannel/network-config';
import type { Ip } from '@flannel-ts/inet/ip';
import type { Logger } from 'pino';
import { messageOf } from '../../errors.ts';
import type { JoinRequest, LeaseBatch, Membership, SubnetManager } from '../manager.ts';
import { acquire, type EtcdContext, type Held } from './acquire.ts';
import { leaseBatches } from './batches.ts';
import { EtcdClient } from './client.ts';
import { hold } from './hold.ts';
import { Layout, RecordReader } from './records.ts';
import type { EtcdOptions } from './settings.ts';
import { WATCH_TIMINGS, type WatchTimings, watchRange } from './watch.ts';

export interface EtcdManagerSettings {
  readonly renewMarginSeconds?: number;
  /** Shorter in tests only: real flanneld has 24 hours. */
  readonly ttlSeconds?: number;
  readonly timings?: WatchTimings;
  readonly random?: () => number;
}

export class EtcdSubnetManager implements SubnetManager {
  private readonly client: EtcdClient;
  private readonly context: EtcdContext;
  private readonly timings: WatchTimings;

  constructor(
    options: EtcdOptions,
    private readonly log: Logger,
    private readonly settings: EtcdManagerSettings = {},
  ) {
    this.client = new EtcdClient(options);
    this.timings = settings.timings ?? WATCH_TIMINGS;
    const layout = new Layout(options.prefix);
    this.context = {
      client: this.client,
      layout,
      reader: new RecordReader(layout, log),
      log,
      ttlSeconds: settings.ttlSeconds ?? SUBNET_TTL_SECONDS,
      random: settings.random ?? Math.random,
    };
  }

  async *config(signal: AbortSignal): AsyncGenerator<NetworkConfig> {
    const key = this.context.layout.configKey;
    let known = false;
    for await (const events of watchRange(this.client, { key }, this.log, signal, this.timings)) {
      const last = events.at(-1)!;
      const record = last.type === 'snapshot' ? last.keyValues[0] : last.type === 'put' ? last.keyValue : undefined;
      if (record === undefined) {
        // Deleted: what was there stays in force.
        if (!known) this.log.warn({ key }, `Waiting for the network config: the key ${key} is missing`);
        continue;
      }
      let config: NetworkConfig;
      try {
        config = parseNetworkConfig(record.value);
      } catch (error) {
        const what = known ? 'The changed network config has no effect' : 'Waiting for the network config';
        this.log.warn({ key }, `${what}: ${messageOf(error)}`);
        continue;
      }
      known = true;
      yield config;
    }
  }

  async *peers(signal: AbortSignal): AsyncGenerator<LeaseBatch> {
    for await (const events of watchRange(this.client, this.context.layout.subnets, this.log, signal, this.timings)) {
      yield* leaseBatches(this.context, events);
    }
  }

  async join(request: JoinRequest, signal: AbortSignal): Promise<Membership> {
    let held = await acquire(this.context, request, signal);
    const marginSeconds = this.settings.renewMarginSeconds ?? 3600;
    const onHeld = (now: Held): void => {
      held = now;
    };
    const options = { marginSeconds, timings: this.timings, onHeld };
    return {
      get lease() {
        return held.lease;
      },
      end: () => held.expiresAt,
      publish: async () => {
        throw new Error('publish() is not implemented yet');
      },
      hold: (stop, report) => hold(this.context, held, { ...options, report }, stop),
    };
  }

  async releaseLeases(address: Ip, signal: AbortSignal): Promise<readonly LeaseSubnets[]> {
    const { key, rangeEnd } = this.context.layout.subnets;
    const released: LeaseSubnets[] = [];
    // Once more when a key changed under our hands, by a renewal of the daemon on this node.
    for (let again = true; again && !signal.aborted; ) {
      again = false;
      const listed = await this.client.range(key, rangeEnd);
      for (const record of this.context.reader.readAll(listed.keyValues)) {
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
}
