/** The subnet manager on etcd, with flannel's layout (reference 2.1). */

import { SUBNET_TTL_SECONDS } from '@flannel-ts/flannel/defaults';
import { formatLeaseSubnets, type LeaseSubnets } from '@flannel-ts/flannel/lease';
import { type NetworkConfig, parseNetworkConfig } from '@flannel-ts/flannel/network-config';
import type { Ip } from '@flannel-ts/inet/ip';
import type { Logger } from 'pino';
import { childSignal, sleep } from '../../abort.ts';
import { messageOf } from '../../errors.ts';
import { fitsConfig } from '../allocate.ts';
import { monotonicNow } from '../clock.ts';
import { ConfigComplaints } from '../config-complaints.ts';
import { withFallback } from '../fallback.ts';
import { type KeptStateSettings, NO_KEPT_STATE, openKeptState } from '../kept-state.ts';
import type {
  ConfigTrouble,
  JoinRequest,
  LeaseBatch,
  Membership,
  ReportConfig,
  SourceStatistics,
  SubnetManager,
} from '../manager.ts';
import { WatchStatistics } from '../watch-statistics.ts';
import { type Acquired, acquire } from './acquire.ts';
import { leaseBatches } from './batches.ts';
import { EtcdClient } from './client.ts';
import type { EtcdContext, Held } from './context.ts';
import { KnownValues } from './known-values.ts';
import { EtcdMembership } from './membership.ts';
import { Layout, RecordReader } from './records.ts';
import type { EtcdOptions } from './settings.ts';
import { WATCH_TIMINGS, type WatchTimings, watchRange } from './watch.ts';

export interface EtcdManagerSettings {
  readonly renewMarginSeconds?: number;
  /** Where to keep what a start without etcd needs; without it there is none. */
  readonly keptState?: KeptStateSettings;
  /** How long etcd must be silent at the start, or be without a valid config, before the kept state is used. */
  readonly keptAfterMs?: number;
  /** Shorter in tests only: real flanneld has 24 hours. */
  readonly ttlSeconds?: number;
  readonly timings?: WatchTimings;
  readonly random?: () => number;
}

const KEPT_AFTER_MS = 2000;

export class EtcdSubnetManager implements SubnetManager {
  private readonly client: EtcdClient;
  private readonly context: EtcdContext;
  private readonly timings: WatchTimings;
  private readonly peersWatch = new WatchStatistics();
  private servesKept = false;
  /** In force, or to be. */
  private lastConfig: NetworkConfig | undefined;

  constructor(
    private readonly options: EtcdOptions,
    private readonly log: Logger,
    private readonly settings: EtcdManagerSettings = {},
  ) {
    const random = settings.random ?? Math.random;
    this.client = new EtcdClient(options, random());
    this.timings = settings.timings ?? WATCH_TIMINGS;
    const layout = new Layout(options.prefix);
    this.context = {
      client: this.client,
      layout,
      reader: new RecordReader(layout, log),
      log,
      ttlSeconds: settings.ttlSeconds ?? SUBNET_TTL_SECONDS,
      random,
      kept: settings.keptState ? openKeptState(settings.keptState, { source: 'etcd', ...options }, log) : NO_KEPT_STATE,
      ownLeaseIds: new Set(),
    };
  }

  get endpoints(): readonly string[] {
    return this.options.endpoints;
  }

  config(signal: AbortSignal, report?: ReportConfig): AsyncGenerator<NetworkConfig> {
    const known = this.lastConfig ?? this.keptConfig();
    let invalidSince: number | undefined;
    const tell = (trouble: ConfigTrouble | undefined): void => {
      invalidSince = trouble && (invalidSince ?? monotonicNow());
      report?.(trouble);
    };
    const isInvalid = () => invalidSince !== undefined && monotonicNow() - invalidSince >= this.keptAfterMs;
    return withFallback(
      (stop) => this.liveConfig(stop, tell),
      known && (() => this.substituteConfig(known)),
      () => this.isSilent() || isInvalid(),
      signal,
    );
  }

  peers(signal: AbortSignal): AsyncGenerator<LeaseBatch> {
    const { leases } = this.context.kept.previous;
    const substitute = leases && (() => this.usingKept(this.keptSnapshot(leases)));
    return withFallback(
      (stop) => this.livePeers(stop),
      substitute,
      () => this.isSilent(),
      signal,
    );
  }

  async join(request: JoinRequest, signal: AbortSignal): Promise<Membership> {
    const membership = (acquired: Acquired, confirmed: boolean): Membership =>
      new EtcdMembership(this.context, acquired.held, {
        marginSeconds: this.settings.renewMarginSeconds ?? 3600,
        timings: this.timings,
        tookOver: acquired.tookOver,
        attributes: request.attributes,
        confirmed,
      });
    const kept = this.keptLease(request);
    if (kept === undefined) return membership(await acquire(this.context, request, signal), true);
    const running = childSignal(signal);
    const acquiring = acquire(this.context, request, running.signal);
    // Whatever it still does after it was given up is done with our own etcd lease.
    acquiring.catch(() => {});
    try {
      const acquired = await Promise.race([acquiring, this.untilSilent(running.signal)]);
      if (acquired !== undefined) return membership(acquired, true);
      signal.throwIfAborted();
      this.log.warn(
        `Etcd does not answer: serving with the kept lease of ${formatLeaseSubnets(kept.lease)} (${this.context.kept.description})`,
      );
      return membership({ held: this.usingKept(kept), tookOver: true }, false);
    } finally {
      running.abort();
      running.dispose();
    }
  }

  async releaseLeases(address: Ip, signal: AbortSignal): Promise<readonly LeaseSubnets[]> {
    const { key, rangeEnd } = this.context.layout.subnets;
    const released: LeaseSubnets[] = [];
    // Once more when a key was changed meanwhile, by the daemon on this node.
    for (let again = true; again && !signal.aborted; ) {
      again = false;
      const listed = await this.client.range(key, rangeEnd);
      for (const record of this.context.reader.readAll(listed.keyValues)) {
        const { keyValue, lease, node } = record;
        const isIts = node.publicIp === address || node.publicIpv6 === address;
        if (!isIts || keyValue.leaseId === '0') continue;
        const deleted = await this.client.deleteIf(keyValue.key, { modRevision: keyValue.modRevision });
        if (deleted === undefined) {
          again = true;
          continue;
        }
        released.push(lease);
        if (keyValue.key === this.context.kept.previous.lease?.key) this.context.kept.setLease(() => undefined);
        await this.client.revokeLease(keyValue.leaseId).catch(() => undefined);
      }
    }
    return released;
  }

  statistics(): SourceStatistics {
    const { ageMs, resyncs } = this.peersWatch;
    return {
      name: 'etcd',
      silentMs: ageMs ?? this.client.silentMs,
      member: this.client.endpoint,
      commandLine: this.client.commandLine,
      failovers: this.client.failovers,
      resyncs,
      servesKept: this.servesKept,
    };
  }

  rest(resting: boolean): void {
    this.context.kept.rest(resting);
  }

  reconnect(): void {
    this.client.reconnect();
  }

  close(): void {
    this.context.kept.close();
    this.client.close();
  }

  private async *liveConfig(signal: AbortSignal, report: ReportConfig): AsyncGenerator<NetworkConfig> {
    const key = this.context.layout.configKey;
    const complaints = new ConfigComplaints({ key }, this.log, report);
    const complain = (reason: string, sentence: string, command: string): void =>
      complaints.say(this.lastConfig !== undefined, reason, {
        sentence,
        remedy: `${this.client.commandLine} ${command}`,
      });
    const options = { log: this.log, timings: this.timings, waitingFor: 'the network config' };
    for await (const events of watchRange(this.client, { key }, options, signal)) {
      if (signal.aborted) return;
      const last = events.at(-1)!;
      const record = last.type === 'snapshot' ? last.keyValues[0] : last.type === 'put' ? last.keyValue : undefined;
      if (record === undefined) {
        const reason = `the key ${key} is missing`;
        complain(reason, `there is no network config in etcd: ${reason}`, `put ${key} <net-conf.json`);
        continue;
      }
      let config: NetworkConfig;
      try {
        config = parseNetworkConfig(record.value);
      } catch (error) {
        const reason = messageOf(error);
        complain(reason, `the network config in etcd (${key}) is not valid: ${reason}`, `get ${key}`);
        continue;
      }
      this.lastConfig = config;
      complaints.over();
      this.context.kept.setConfig(record.value);
      yield config;
    }
  }

  private async *livePeers(signal: AbortSignal): AsyncGenerator<LeaseBatch> {
    const options = { log: this.log, timings: this.timings, statistics: this.peersWatch };
    const known = new KnownValues();
    for await (const events of watchRange(this.client, this.context.layout.subnets, options, signal)) {
      this.servesKept = false;
      const news = known.newsIn(events);
      if (news.length === 0) continue;
      this.context.kept.setLeases(() => known.toObject());
      yield* leaseBatches(this.context, news);
    }
  }

  private get keptAfterMs(): number {
    return this.settings.keptAfterMs ?? KEPT_AFTER_MS;
  }

  private substituteConfig(config: NetworkConfig): NetworkConfig {
    const isKept = this.lastConfig === undefined;
    this.lastConfig = config;
    if (!this.client.answered) return this.usingKept(config);
    if (isKept) {
      this.log.warn(
        `Etcd has no valid network config: serving with the one that an earlier run kept (${this.context.kept.description})`,
      );
    }
    return config;
  }

  /** Etcd has not answered since the start, and enough time has passed. */
  private isSilent(): boolean {
    return !this.client.answered && this.client.silentMs >= this.keptAfterMs;
  }

  private async untilSilent(signal: AbortSignal): Promise<undefined> {
    while (!signal.aborted && !this.isSilent()) await sleep(100, signal);
  }

  private usingKept<T>(value: T): T {
    this.servesKept = true;
    return value;
  }

  /** Only with a lease that has not ended: the subnet may be another node's. */
  private keptConfig(): NetworkConfig | undefined {
    const { config, lease } = this.context.kept.previous;
    if (config === undefined || lease === undefined || lease.remainingMs === 0) return undefined;
    try {
      return parseNetworkConfig(config);
    } catch {
      return undefined; // of an older version
    }
  }

  private keptLease({ config }: JoinRequest): Held | undefined {
    const { lease } = this.context.kept.previous;
    if (lease === undefined || lease.remainingMs === 0) return undefined;
    const record = this.context.reader.read(lease);
    if (record === undefined || !fitsConfig(config, record)) return undefined;
    const { key, modRevision, leaseId, remainingMs } = lease;
    const term = remainingMs === undefined ? undefined : termOf(remainingMs, this.context.ttlSeconds);
    return { lease: record.lease, key, modRevision, leaseId, term };
  }

  private keptSnapshot(leases: Readonly<Record<string, string>>): LeaseBatch {
    const keyValues = Object.entries(leases).map(([key, value]) => ({ key, value, modRevision: '0', leaseId: '0' }));
    return { kind: 'snapshot', leases: this.context.reader.readAll(keyValues).map(({ lease }) => lease) };
  }
}

function termOf(remainingMs: number, ttlSeconds: number): NonNullable<Held['term']> {
  return { endsAt: monotonicNow() + remainingMs, lifetimeMs: ttlSeconds * 1000 };
}
