/** The subnet manager on Kubernetes: subnets are podCIDRs, leases are flannel's annotations of nodes (subnet/kube/kube.go). */
import {
  formatLeaseKey,
  formatLeaseSubnets,
  formatLeaseValue,
  type Lease,
  type LeaseSubnets,
  type NodeAddresses,
  parseLeaseKey,
  parseLeaseValue,
} from '@flannel-ts/flannel/lease';
import { type NetworkConfig, parseNetworkConfig } from '@flannel-ts/flannel/network-config';
import { FAMILIES, type Family } from '@flannel-ts/inet/family';
import type { Ip } from '@flannel-ts/inet/ip';
import { prefixCovers } from '@flannel-ts/inet/prefix';
import type { Logger } from 'pino';
import { Backoff, childSignal, sleep } from '../../abort.ts';
import { DaemonError, messageOf } from '../../errors.ts';
import { Repeats } from '../../repeats.ts';
import { monotonicNow } from '../clock.ts';
import { withFallback } from '../fallback.ts';
import { type KeptStateSettings, NO_KEPT_STATE, openKeptState } from '../kept-state.ts';
import type {
  JoinRequest,
  LeaseBatch,
  Membership,
  Report,
  ReportConfig,
  SourceStatistics,
  SubnetManager,
} from '../manager.ts';
import { WatchStatistics } from '../watch-statistics.ts';
import { openAccess } from './access.ts';
import {
  annotationNames,
  chosenAddresses,
  formatAnnotations,
  overwrites,
  parseAnnotations,
  writtenNames,
} from './annotations.ts';
import { ApiClient, RefusedError } from './api.ts';
import { followConfigFile } from './config-file.ts';
import { type KubeContext, nodePath } from './context.ts';
import { LeaseReader } from './leases.ts';
import { KubeMembership } from './membership.ts';
import { annotationPatch, checkPodSubnets, type KubeNode, type NodeObject, readNode } from './node.ts';
import type { KubeOptions } from './settings.ts';
import { KUBE_TIMINGS, type KubeTimings, watchNodes } from './watch.ts';

export interface KubeManagerSettings {
  /** Where to keep what a start without the API server needs; without it there is none. */
  readonly keptState?: KeptStateSettings;
  /** How long the API server must be silent at the start before the kept state is used. */
  readonly keptAfterMs?: number;
  readonly timings?: KubeTimings;
  readonly serviceAccountDir?: string;
}

const KEPT_AFTER_MS = 2000;
const NOT_FOUND = 404;

export class KubeSubnetManager implements SubnetManager {
  private readonly context: KubeContext;
  private readonly peersWatch = new WatchStatistics();
  private families: readonly Family[] = FAMILIES;
  private foundName: string | undefined;
  private servesKept = false;

  constructor(
    private readonly options: KubeOptions,
    private readonly log: Logger,
    private readonly settings: KubeManagerSettings = {},
  ) {
    const names = annotationNames(options.annotationPrefix);
    const ours = new Set(Object.values(names) as string[]);
    const client = new ApiClient(openAccess(options, settings.serviceAccountDir));
    const origin = {
      source: 'Kubernetes',
      prefix: `${options.annotationPrefix} of ${options.nodeName ?? options.pod?.name}`,
      endpoints: [client.server],
    };
    this.foundName = options.nodeName;
    this.context = {
      client,
      names,
      read: (node) => readNode(node, (name) => ours.has(name)),
      log,
      timings: settings.timings ?? KUBE_TIMINGS,
      kept: settings.keptState ? openKeptState(settings.keptState, origin, log) : NO_KEPT_STATE,
      setNetworkUnavailable: options.setNetworkUnavailable,
    };
  }

  get endpoints(): readonly string[] {
    return [this.context.client.server];
  }

  async *config(signal: AbortSignal, report?: ReportConfig): AsyncGenerator<NetworkConfig> {
    const { timings, kept } = this.context;
    for await (const { config, text } of followConfigFile(
      this.options.netConfigPath,
      timings.configMs,
      this.log,
      signal,
      report,
    )) {
      kept.setConfig(text);
      yield config;
    }
  }

  peers(signal: AbortSignal): AsyncGenerator<LeaseBatch> {
    const { leases } = this.context.kept.previous;
    const substitute = leases && (() => this.usingKept(keptSnapshot(leases)));
    return withFallback(
      (stop) => this.livePeers(stop),
      substitute,
      () => this.isSilent(),
      signal,
    );
  }

  async ownAddresses(signal: AbortSignal, report: Report = () => {}): Promise<NodeAddresses> {
    if (this.keptLease() === undefined) return this.liveOwnAddresses(signal, report);
    return (await this.unlessSilent((stop) => this.liveOwnAddresses(stop, report), signal)) ?? {};
  }

  async join(request: JoinRequest, signal: AbortSignal): Promise<Membership> {
    this.families = FAMILIES.filter((family) => request.config.pools[family] !== undefined);
    const kept = this.keptLease(request.config);
    if (kept === undefined) return this.liveJoin(request, signal);
    const joined = await this.unlessSilent((stop) => this.liveJoin(request, stop), signal);
    if (joined !== undefined) return joined;
    this.log.warn(
      `The API server ${this.context.client.server} does not answer: serving with the kept podCIDR ${formatLeaseSubnets(kept)} (${this.context.kept.description})`,
    );
    this.usingKept(kept);
    const start = { subnets: kept, attributes: request.attributes, node: undefined };
    return new KubeMembership(this.context, this.foundName ?? '', start);
  }

  async releaseLeases(address: Ip, signal: AbortSignal): Promise<readonly LeaseSubnets[]> {
    const { names, client } = this.context;
    const node = await this.getNode(signal);
    const attributes = parseAnnotations(node.annotations, names);
    if (attributes?.publicIp !== address && attributes?.publicIpv6 !== address) return [];
    const lease = new LeaseReader(this.context, FAMILIES).leaseOf(node);
    const annotations = Object.fromEntries(
      writtenNames(names)
        .filter((name) => node.annotations[name] !== undefined)
        .map((name) => [name, null]),
    );
    await client.patch(`${nodePath(node.name)}/status`, { metadata: { uid: node.uid, annotations } }, signal);
    this.context.kept.setLease(() => undefined);
    return lease === undefined ? [] : [lease];
  }

  statistics(): SourceStatistics {
    const { ageMs, resyncs } = this.peersWatch;
    const { server, silentMs } = this.context.client;
    return {
      name: 'kubernetes',
      silentMs: ageMs ?? silentMs,
      member: server,
      failovers: 0,
      resyncs,
      servesKept: this.servesKept,
    };
  }

  rest(resting: boolean): void {
    this.context.kept.rest(resting);
  }

  reconnect(): void {
    this.context.client.reconnect();
  }

  close(): void {
    this.context.kept.close();
    this.context.client.close();
  }

  private async *livePeers(signal: AbortSignal): AsyncGenerator<LeaseBatch> {
    const { client, read, timings, kept } = this.context;
    const reader = new LeaseReader(this.context, this.families);
    const watch = { client, read, log: this.log, timings, statistics: this.peersWatch };
    for await (const events of watchNodes(watch, signal)) {
      this.servesKept = false;
      const batches = reader.batches(events);
      if (batches.length === 0) continue;
      kept.setLeases(() => keptLeases(reader.leases));
      yield* batches;
    }
  }

  private async liveOwnAddresses(signal: AbortSignal, report: Report): Promise<NodeAddresses> {
    const node = await this.persistently((stop) => this.getNode(stop), report, signal);
    return chosenAddresses(node.annotations, this.context.names);
  }

  private async liveJoin(
    { config, attributes, report = () => {} }: JoinRequest,
    signal: AbortSignal,
  ): Promise<Membership> {
    const { client, names, read } = this.context;
    const attempt = async (stop: AbortSignal): Promise<Membership> => {
      const node = await this.getNode(stop);
      const check = checkPodSubnets(node, config.pools);
      if (check.kind === 'wrong') throw new DaemonError('INVALID_CONFIG', check.reason);
      if (check.kind === 'missing') throw new DaemonError('KUBERNETES', check.reason);
      const wanted = formatAnnotations({ ...attributes, ...overwrites(node.annotations, names) }, names);
      const annotations = annotationPatch(node.annotations, wanted, names);
      const patch = { metadata: { uid: node.uid, annotations } };
      const path = `${nodePath(node.name)}/status`;
      const written = annotations && read(await client.patch<NodeObject>(path, patch, stop));
      return new KubeMembership(this.context, node.name, { subnets: check.subnets, attributes, node: written ?? node });
    };
    return this.persistently(attempt, report, signal);
  }

  /** What may be otherwise the next time is told, and tried again. */
  private async persistently<T>(
    attempt: (signal: AbortSignal) => Promise<T>,
    report: Report,
    signal: AbortSignal,
  ): Promise<T> {
    const { timings } = this.context;
    const backoff = new Backoff(timings.retryFirstMs, timings.retryMostMs);
    const repeats = new Repeats();
    for (;;) {
      signal.throwIfAborted();
      try {
        return await attempt(signal);
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof DaemonError) || error.code !== 'KUBERNETES') throw error;
        report(messageOf(error));
        const line = repeats.failed(`Waiting for the subnet of this node: ${messageOf(error)}`, monotonicNow());
        if (line !== undefined) this.log.warn(line);
        await sleep(backoff.take(), signal);
      }
    }
  }

  private async getNode(signal: AbortSignal): Promise<KubeNode> {
    const { client, read } = this.context;
    this.foundName ??= await this.nodeNameOfPod(signal);
    try {
      return read(await client.get<NodeObject>(nodePath(this.foundName), signal));
    } catch (error) {
      if (!(error instanceof RefusedError) || error.status !== NOT_FOUND) throw error;
      throw new DaemonError(
        'KUBERNETES',
        `Kubernetes knows no node ${this.foundName}: wait for its kubelet to register it, or set NODE_NAME to its name`,
      );
    }
  }

  private async nodeNameOfPod(signal: AbortSignal): Promise<string> {
    const { name, namespace } = this.options.pod!;
    const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(name)}`;
    const pod = await this.context.client.get<{ spec?: { nodeName?: string } }>(path, signal);
    const found = pod.spec?.nodeName;
    if (found === undefined) throw new DaemonError('KUBERNETES', `The pod ${namespace}/${name} is on no node yet`);
    return found;
  }

  /** Undefined when the server is silent instead. */
  private async unlessSilent<T>(run: (signal: AbortSignal) => Promise<T>, signal: AbortSignal): Promise<T | undefined> {
    const running = childSignal(signal);
    const live = run(running.signal);
    live.catch(() => {}); // it is given up then
    try {
      const result = await Promise.race([live, this.untilSilent(running.signal)]);
      signal.throwIfAborted();
      return result;
    } finally {
      running.abort();
      running.dispose();
    }
  }

  private isSilent(): boolean {
    const { client } = this.context;
    return !client.answered && client.silentMs >= (this.settings.keptAfterMs ?? KEPT_AFTER_MS);
  }

  private async untilSilent(signal: AbortSignal): Promise<undefined> {
    while (!signal.aborted && !this.isSilent()) await sleep(100, signal);
  }

  private usingKept<T>(value: T): T {
    this.servesKept = true;
    return value;
  }

  /** Only of a node whose name is known without the API server. */
  private keptLease(config?: NetworkConfig): LeaseSubnets | undefined {
    const { lease, config: text } = this.context.kept.previous;
    if (lease === undefined || text === undefined || this.options.nodeName === undefined) return undefined;
    try {
      const subnets = parseLeaseKey(lease.key);
      const { pools } = config ?? parseNetworkConfig(text);
      const fits = FAMILIES.every((family) => {
        const subnet = family === 4 ? subnets?.subnet : subnets?.ipv6Subnet;
        const network = pools[family]?.network;
        return subnet === undefined || network === undefined ? subnet === network : prefixCovers(network, subnet);
      });
      return fits ? subnets : undefined;
    } catch {
      return undefined; // of an older version
    }
  }
}

function keptLeases(leases: Iterable<Lease>): Readonly<Record<string, string>> {
  return Object.fromEntries([...leases].map((lease) => [formatLeaseKey(lease), formatLeaseValue(lease.attributes)]));
}

function keptSnapshot(leases: Readonly<Record<string, string>>): LeaseBatch {
  const read = Object.entries(leases).flatMap(([key, value]): Lease[] => {
    const subnets = parseLeaseKey(key);
    return subnets === undefined ? [] : [{ ...subnets, attributes: parseLeaseValue(value) }];
  });
  return { kind: 'snapshot', leases: read };
}
