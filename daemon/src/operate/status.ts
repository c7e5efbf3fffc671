/** What `/status` says: the state of this node in one JSON value, for people and for scripts. Pure. */
import { backendNeeds, describeCarriers } from '@flannel-ts/flannel/backend-needs';
import { formatLeaseSubnets } from '@flannel-ts/flannel/lease';
import { formatNetworkConfig, type NetworkConfig, outerFamilies } from '@flannel-ts/flannel/network-config';
import { formatIp } from '@flannel-ts/inet/ip';
import { formatPrefix } from '@flannel-ts/inet/prefix';
import type { RefusedLease } from '../backend/backend.ts';
import type { PeerCounters } from '../datapath/datapath.ts';
import type { SourceStatistics } from '../subnet/manager.ts';
import type { ServingFacts } from './metrics.ts';
import type { PathMtu, PeerReach } from './reach/table.ts';
import type { Readiness } from './readiness.ts';
import { remedyOf } from './remedies.ts';

/** Times in seconds, with a fraction where that says something. Fields are added over time; none changes its meaning. */
export interface Status {
  readonly version: string;
  readonly pid: number;
  readonly upSeconds: number;
  readonly ready: boolean;
  readonly troubles: readonly TroubleStatus[];
  /** Worth knowing, and no reason not to be ready. */
  readonly details: readonly string[];
  /** Where the leases come from; null for a source that has nothing to say of itself. */
  readonly source: SourceStatus | null;
  /** From when the node has its lease. */
  readonly node?: NodeStatus;
  readonly peers?: readonly PeerStatus[];
  /** Leases that are not used, and why. */
  readonly refused?: readonly { readonly subnets: string; readonly reason: string }[];
}

export interface TroubleStatus {
  readonly part: string;
  readonly trouble: string;
  /** The command or setting that mends it. */
  readonly remedy: string;
  readonly forSeconds: number;
}

export interface NodeStatus {
  readonly subnets: string;
  readonly backend: string;
  /** The network config that this node has followed, with defaults written out and without its `PSK`. */
  readonly networkConfig: object;
  readonly interface: string;
  readonly address: string;
  /** ISO 8601; null for a reservation. */
  readonly leaseEnds: string | null;
  /** Absent where the kernel alone forwards. */
  readonly engine?: string;
  readonly engineRuns?: boolean;
  /** Packets that programs in the kernel left to the engine in user space, by reason. */
  readonly engineHandedOver?: Readonly<Record<string, number>>;
  /** Why what was asked for does not move the packets. */
  readonly engineRefused?: string;
  /** What `auto` took, and why not another. */
  readonly engineChosen?: string;
  /** Of the overlay's devices, as the kernel counts. */
  readonly devices: readonly DeviceStatus[];
}

export interface DeviceStatus extends Traffic {
  readonly name: string;
  /** Dropped because the queue of the device was full. */
  readonly dropped: number;
}

/** Sent to other nodes, received from them. */
export interface Traffic {
  readonly sentPackets: number;
  readonly sentBytes: number;
  readonly receivedPackets: number;
  readonly receivedBytes: number;
}

export interface SourceStatus {
  readonly name: string;
  readonly member: string | null;
  readonly silentSeconds: number;
  readonly failovers: number;
  readonly resyncs: number;
  readonly servesKept: boolean;
}

/** Of one subnet of another node. */
export interface PeerStatus {
  readonly subnet: string;
  readonly address: string;
  /** By which the node is known: the same for its subnets of both families, whose packets may go to different addresses. */
  readonly node: string;
  /** Null: never since it is known, or not asked. */
  readonly lastAnswerSecondsAgo: number | null;
  readonly roundTripMs: number | null;
  readonly largePackets: PathMtu;
  /** Of all subnets behind this address; null where nobody counts by peer. */
  readonly traffic: Traffic | null;
}

export interface StatusFacts {
  readonly version: string;
  readonly pid: number;
  readonly upSeconds: number;
  readonly readiness: Pick<Readiness, 'ready' | 'present' | 'details'>;
  readonly source: SourceStatistics | undefined;
  readonly serving: ServingFacts | undefined;
  readonly devices: readonly DeviceStatus[];
}

export function statusOf({ version, pid, upSeconds, readiness, source, serving, devices }: StatusFacts): Status {
  const context = {
    interface: serving?.external.name,
    source: source?.name,
    member: source?.member,
    commandLine: source?.commandLine,
    carriers: serving && carriersOf(serving.config),
    peer: serving?.reach[0] && formatIp(serving.reach[0].peer),
  };
  return {
    version,
    pid,
    upSeconds: Math.round(upSeconds),
    ready: readiness.ready,
    troubles: readiness.present.map(({ part, trouble, remedy, sinceMs }) => ({
      part,
      trouble,
      remedy:
        remedy ?? (SILENCES.includes(part) ? mendFirst(readiness) : undefined) ?? remedyOf(part, trouble, context),
      forSeconds: seconds(sinceMs),
    })),
    details: readiness.details,
    source: source === undefined ? null : sourceOf(source),
    ...(serving && {
      node: nodeOf(serving, devices),
      peers: serving.reach.map((reach) => peerOf(reach, serving.dataPath?.counters?.peers.get(reach.peer))),
      refused: refusedOf(serving),
    }),
  };
}

/** That nobody answers. */
const SILENCES = ['reach', 'pod path'];
/** With one of these wrong, nobody can. */
const CAUSES_OF_SILENCE = [
  'underlay',
  'kernel',
  'engine',
  'input rules',
  'forward rules',
  'forwarding',
  'other routes',
];

function mendFirst({ present }: StatusFacts['readiness']): string | undefined {
  const cause = present.find(({ part }) => CAUSES_OF_SILENCE.includes(part));
  return cause && `mend "${cause.part}" first`;
}

function carriersOf(config: NetworkConfig): string {
  return describeCarriers(backendNeeds(config.backend, outerFamilies(config)).carriers);
}

function nodeOf(
  { config, external, lease, leaseEnd, dataPath }: ServingFacts,
  devices: readonly DeviceStatus[],
): NodeStatus {
  return {
    subnets: formatLeaseSubnets(lease),
    backend: config.backend.type,
    networkConfig: withoutKey(config),
    interface: external.name,
    address: formatIp(external.address),
    leaseEnds: leaseEnd === undefined ? null : new Date(leaseEnd).toISOString(),
    ...(dataPath && { engine: dataPath.engine, engineRuns: dataPath.counters !== undefined }),
    ...(dataPath?.handedOver && { engineHandedOver: dataPath.handedOver }),
    ...(dataPath?.refused !== undefined && { engineRefused: dataPath.refused }),
    ...(dataPath?.chosen !== undefined && { engineChosen: dataPath.chosen }),
    devices,
  };
}

function withoutKey(config: NetworkConfig): object {
  const written = JSON.parse(formatNetworkConfig(config)) as { Backend: { PSK?: string } };
  delete written.Backend.PSK;
  return written;
}

function sourceOf({ name, silentMs, member, failovers, resyncs, servesKept }: SourceStatistics): SourceStatus {
  return { name, member: member ?? null, silentSeconds: seconds(silentMs), failovers, resyncs, servesKept };
}

function peerOf(
  { subnet, peer, node, answered, silentMs, rttMs, pathMtu }: PeerReach,
  counters: PeerCounters | undefined,
): PeerStatus {
  return {
    subnet: formatPrefix(subnet),
    address: formatIp(peer),
    node: formatIp(node),
    lastAnswerSecondsAgo: answered ? seconds(silentMs) : null,
    roundTripMs: rttMs === undefined ? null : Math.round(rttMs * 1000) / 1000,
    largePackets: pathMtu,
    traffic: counters === undefined ? null : trafficOf(counters),
  };
}

function trafficOf({ sentPackets, sentBytes, receivedPackets, receivedBytes }: PeerCounters): Traffic {
  return { sentPackets, sentBytes, receivedPackets, receivedBytes };
}

function refusedOf({ refused }: ServingFacts): NonNullable<Status['refused']> {
  return refused.map(({ lease, reason }) => ({ subnets: formatLeaseSubnets(lease), reason }));
}

function seconds(ms: number): number {
  return Math.round(ms / 100) / 10;
}

const MOST_REFUSED = 3;

/** For a line of details; undefined when there is none. */
export function describeRefused(refused: readonly RefusedLease[]): string | undefined {
  if (refused.length === 0) return undefined;
  const named = refused.slice(0, MOST_REFUSED).map(({ lease, reason }) => `${formatLeaseSubnets(lease)}: ${reason}`);
  const more = refused.length - named.length;
  return `leases that are not used: ${named.join('; ')}${more > 0 ? ` and ${more} more` : ''}`;
}
