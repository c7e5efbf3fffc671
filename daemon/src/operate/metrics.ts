/**
 * What flanneld exposes to Prometheus, in its text format 0.0.4. Written by hand: prom-client, measured in a binary compiled by Bun,
 * takes 16 MB of resident memory and 20 ms of the start, a fifth of what the whole daemon may have (docs/metrics.md is made
 * of the table below, and a test compares them).
 */
import { formatLeaseSubnets, type Lease, type LeaseAttributes } from '@flannel-ts/flannel/lease';
import type { NetworkConfig } from '@flannel-ts/flannel/network-config';
import { outerFamilyOf } from '@flannel-ts/flannel/udp-data';
import { formatIp } from '@flannel-ts/inet/ip';
import { formatPrefix } from '@flannel-ts/inet/prefix';
import type { RefusedLease } from '../backend/backend.ts';
import type { DataPathCounters, DataPathStatistics, PeerCounters } from '../datapath/datapath.ts';
import type { ReconcileStatistics } from '../state/reconcile.ts';
import type { SourceStatistics } from '../subnet/manager.ts';
import type { ExternalInterface } from '../underlay/select.ts';
import { VERSION } from '../version.ts';
import { countNodes, GRACE_MS } from './reach/judge.ts';
import type { PeerReach } from './reach/table.ts';
import type { Readiness } from './readiness.ts';

/** Everything that metrics show, at one moment. */
export interface Facts {
  readonly version: string;
  readonly ready: boolean;
  readonly parts: readonly (readonly [string, boolean])[];
  readonly residentBytes: number;
  readonly cpuSeconds: number;
  /** -metrics-per-peer */
  readonly perPeer: boolean;
  /** From when the daemon has its lease. */
  readonly serving?: ServingFacts;
}

export interface ServingFacts {
  /** By which this node serves: the newest one that it has followed. */
  readonly config: NetworkConfig;
  readonly external: ExternalInterface;
  /** Names of the overlay's own; none where packets leave as they are. */
  readonly devices: readonly string[];
  /** Absent for a backend that leaves packets to the kernel. */
  readonly dataPath?: DataPathStatistics;
  readonly reconcile: ReconcileStatistics;
  readonly lease: Lease;
  /** Absent for a source that has nothing to say of itself. */
  readonly source: SourceStatistics | undefined;
  /** In milliseconds of the epoch. */
  readonly leaseEnd: number | undefined;
  readonly leases: number;
  readonly refused: readonly RefusedLease[];
  readonly reach: readonly PeerReach[];
  /** Kernel parameters that had to be set again. */
  readonly restorations: number;
}

export function daemonFacts(readiness: Readiness, serving: ServingFacts | undefined, perPeer: boolean): Facts {
  const { user, system } = process.cpuUsage();
  return {
    version: VERSION,
    ready: readiness.ready,
    parts: readiness.state,
    residentBytes: process.memoryUsage.rss(),
    cpuSeconds: (user + system) / 1e6,
    perPeer,
    ...(serving && { serving }),
  };
}

export interface Metric {
  readonly name: string;
  readonly type: 'counter' | 'gauge';
  readonly help: string;
  readonly labels: readonly string[];
  /** Values of the labels, in their order, and the value; nothing while it is not known. */
  readonly read: (facts: Facts) => readonly (readonly [readonly string[], number])[];
}

type Read = (facts: Facts) => number | undefined;

function single(type: Metric['type'], name: string, help: string, read: Read): Metric {
  const samples = (value: number | undefined): ReturnType<Metric['read']> => (value === undefined ? [] : [[[], value]]);
  return { name, type, help, labels: [], read: (facts) => samples(read(facts)) };
}

function total(name: string, help: string, field: keyof DataPathCounters): Metric {
  const read: Read = ({ serving }) => serving?.dataPath?.counters?.[field] as number | undefined;
  return single('counter', `flannel_engine_${name}_total`, help, read);
}

/** More would make every scrape, and the memory of Prometheus, grow with the square of the nodes. */
export const MOST_PEERS = 200;
/** In the place of an address: all other peers together. */
const OTHERS = 'other';

function peer(name: string, help: string, field: Exclude<keyof PeerCounters, 'path'>): Metric {
  const read: Metric['read'] = ({ serving, perPeer }) => {
    if (!perPeer) return [];
    const all = [...(serving?.dataPath?.counters?.peers ?? [])];
    const named = all.slice(0, MOST_PEERS).map(([ip, counters]) => [[formatIp(ip)], counters[field]] as const);
    if (all.length <= MOST_PEERS) return named;
    const rest = all.slice(MOST_PEERS).reduce((sum, [, counters]) => sum + counters[field], 0);
    return [...named, [[OTHERS], rest]];
  };
  return { name: `flannel_engine_peer_${name}_total`, type: 'counter', help, labels: ['peer'], read };
}

/** Only of paths of which there is something to say: on most nodes there are none. */
function path(name: string, help: string, field: 'limit' | 'unsegmentedFrom'): Metric {
  const read: Metric['read'] = ({ serving, perPeer }) =>
    (perPeer ? [...(serving?.dataPath?.counters?.peers ?? [])] : [])
      .filter(([, counters]) => counters.path[field] !== 0)
      .slice(0, MOST_PEERS)
      .map(([ip, counters]) => [[formatIp(ip)], counters.path[field]]);
  return { name: `flannel_engine_path_${name}`, type: 'gauge', help, labels: ['peer'], read };
}

function reachOf(name: string, help: string, value: (reach: PeerReach) => number | undefined): Metric {
  const read: Metric['read'] = ({ serving, perPeer }) =>
    (perPeer ? (serving?.reach ?? []) : []).slice(0, MOST_PEERS).flatMap((reach) => {
      const found = value(reach);
      return found === undefined ? [] : [[[formatPrefix(reach.subnet), formatIp(reach.peer)], found] as const];
    });
  return { name: `flannel_reach_peer_${name}`, type: 'gauge', help, labels: ['subnet', 'peer'], read };
}

/** The source of leases, by its name. */
function source(
  type: Metric['type'],
  name: string,
  help: string,
  value: (statistics: SourceStatistics) => number,
): Metric {
  const read: Metric['read'] = ({ serving }) =>
    serving?.source === undefined ? [] : [[[serving.source.name], value(serving.source)]];
  return { name: `flannel_source_${name}`, type, help, labels: ['source'], read };
}

/** Empty only for a lease of no use. */
function formatPublicAddress(attributes: LeaseAttributes): string {
  const address = outerFamilyOf(attributes) === 6 ? attributes.publicIpv6 : attributes.publicIp;
  return address === undefined ? '' : formatIp(address);
}

/** Those that are on or off; their names as labels. */
const SWITCHES: Readonly<Record<string, string>> = {
  vnetHeader: 'vnet_header',
  deviceTso: 'device_tso',
  deviceUso: 'device_uso',
  udpSegment: 'udp_segment',
  udpGro: 'udp_gro',
  mergeTcp: 'merge_tcp',
  mergeUdp: 'merge_udp',
};

const DAEMON: readonly Metric[] = [
  {
    name: 'flannel_build_info',
    type: 'gauge',
    help: 'Always 1; the version of flanneld as a label.',
    labels: ['version'],
    read: ({ version }) => [[[version], 1]],
  },
  single('gauge', 'flannel_ready', 'Whether the node serves, as /readyz says.', ({ ready }) => Number(ready)),
  {
    name: 'flannel_part_well',
    type: 'gauge',
    help: 'Whether a part of the daemon is well; the node is ready when all are.',
    labels: ['part'],
    read: ({ parts }) => parts.map(([part, well]) => [[part.replaceAll(' ', '_')], Number(well)]),
  },
  single('gauge', 'process_resident_memory_bytes', 'Resident memory of flanneld.', (facts) => facts.residentBytes),
  single(
    'counter',
    'process_cpu_seconds_total',
    'Processor time of flanneld, all threads.',
    (facts) => facts.cpuSeconds,
  ),
];

const CONTROL: readonly Metric[] = [
  {
    name: 'flannel_lease_info',
    type: 'gauge',
    help: 'Always 1; the lease of this node as labels: its subnets (of IPv4 and IPv6 with a comma), and where peers reach it.',
    labels: ['subnet', 'public_ip'],
    read: ({ serving }) =>
      serving === undefined
        ? []
        : [[[formatLeaseSubnets(serving.lease), formatPublicAddress(serving.lease.attributes)], 1]],
  },
  single(
    'gauge',
    'flannel_lease_end_timestamp_seconds',
    'When the lease of this node ends if it is not renewed. Absent for a reservation.',
    ({ serving }) => (serving?.leaseEnd === undefined ? undefined : Math.round(serving.leaseEnd / 1000)),
  ),
  source('gauge', 'silent_seconds', 'Seconds since the leases were last known to be up to date.', ({ silentMs }) => {
    return Math.round(silentMs) / 1000;
  }),
  source(
    'gauge',
    'serves_kept',
    'Whether the leases in force were read from disk, because the source has not answered since the start.',
    ({ servesKept }) => Number(servesKept),
  ),
  source(
    'counter',
    'failovers_total',
    'How often another member of the source was chosen.',
    (facts) => facts.failovers,
  ),
  source('counter', 'resyncs_total', 'Complete lists of the leases after the first one.', (facts) => facts.resyncs),
  single('gauge', 'flannel_leases', 'Leases of the network that this node knows, its own included.', (facts) => {
    return facts.serving?.leases;
  }),
  single(
    'gauge',
    'flannel_refused_leases',
    'Leases of other nodes that are not used; /status has the reasons.',
    (facts) => {
      return facts.serving?.refused.length;
    },
  ),
  single(
    'counter',
    'flannel_sysctl_restorations_total',
    'Kernel parameters that somebody changed after the start, and that were set again.',
    ({ serving }) => serving?.restorations,
  ),
  {
    name: 'flannel_reach_peers',
    type: 'gauge',
    help: 'Other nodes by whether they answer through the overlay.',
    labels: ['state'],
    read: ({ serving }) => {
      if (serving === undefined) return [];
      // A node counts once: as silent if it is by one of its families.
      const silent = countNodes(serving.reach.filter(({ silentMs }) => silentMs > GRACE_MS));
      const lossy = countNodes(serving.reach.filter(({ pathMtu }) => pathMtu === 'lost'));
      return [
        [['answering'], countNodes(serving.reach) - silent],
        [['silent'], silent],
        [['large_packets_lost'], lossy],
      ];
    },
  },
  reachOf('silent_seconds', 'Seconds since the last answer of a node through the overlay.', ({ silentMs }) => {
    return Math.round(silentMs) / 1000;
  }),
  reachOf('round_trip_seconds', 'Round trip of its last answer.', ({ rttMs }) => {
    return rttMs === undefined ? undefined : rttMs / 1000;
  }),
  reachOf(
    'path_mtu_passes',
    'Whether packets as large as the MTU of the overlay are answered; absent while not known.',
    ({ pathMtu }) => (pathMtu === 'unknown' ? undefined : Number(pathMtu === 'passes')),
  ),
  single('counter', 'flannel_reconcile_passes_total', 'Comparisons of the kernel with what should be.', (facts) => {
    return facts.serving?.reconcile.passes;
  }),
  single(
    'counter',
    'flannel_reconcile_failed_passes_total',
    'Comparisons after which not all was as it should be.',
    ({ serving }) => serving?.reconcile.failedPasses,
  ),
  single('counter', 'flannel_reconcile_changes_total', 'Changes made in the kernel.', (facts) => {
    return facts.serving?.reconcile.changes;
  }),
];

const ENGINE: readonly Metric[] = [
  {
    name: 'flannel_engine_info',
    type: 'gauge',
    help: 'Always 1; the name of the engine that is asked for as a label.',
    labels: ['engine'],
    read: ({ serving }) => (serving?.dataPath === undefined ? [] : [[[serving.dataPath.engine], 1]]),
  },
  single('gauge', 'flannel_engine_running', 'Whether an engine runs.', ({ serving }) => {
    return serving?.dataPath && Number(serving.dataPath.counters !== undefined);
  }),
  single('counter', 'flannel_engine_starts_total', 'Engines started.', ({ serving }) => serving?.dataPath?.starts),
  single('counter', 'flannel_engine_failures_total', 'Engines that died, or did not start.', ({ serving }) => {
    return serving?.dataPath?.failures;
  }),
  {
    name: 'flannel_engine_offload_in_use',
    type: 'gauge',
    help: 'Whether the engine makes use of an offload.',
    labels: ['offload'],
    read: ({ serving }) => {
      const abilities = serving?.dataPath?.counters?.abilities;
      if (abilities === undefined) return [];
      return Object.entries(SWITCHES).map(([name, label]) => [[label], abilities[name]!]);
    },
  },
  single(
    'gauge',
    'flannel_engine_busy_poll_microseconds',
    'How long the engine looks for more before it sleeps, while that pays.',
    (facts) => {
      return facts.serving?.dataPath?.counters?.abilities.busyPollUs;
    },
  ),
  single(
    'gauge',
    'flannel_engine_self_test',
    'How the test of the offloads at the start of the engine went: 0 there was none, 1 passed, 2 failed.',
    ({ serving }) => serving?.dataPath?.counters?.abilities.selfTest,
  ),
  total('offload_fallbacks', 'Offloads given up because the kernel refused their use.', 'offloadFallbacks'),
  total('device_packets', 'Packets read from the device, whatever became of them.', 'tunPackets'),
  total('device_bytes', 'Bytes of these.', 'tunBytes'),
  total('sent_packets', 'Packets handed to the socket for a peer.', 'sentPackets'),
  total('sent_bytes', 'Bytes of these.', 'sentBytes'),
  total('socket_packets', 'Packets read from the socket, whatever became of them.', 'socketPackets'),
  total('socket_bytes', 'Bytes of these.', 'socketBytes'),
  total('delivered_packets', 'Packets written to the device.', 'deliveredPackets'),
  total('delivered_bytes', 'Bytes of these.', 'deliveredBytes'),
  {
    name: 'flannel_engine_dropped_packets_total',
    type: 'counter',
    help: 'Packets dropped, by reason (daemon/src/datapath/tun/engine/reasons.ts).',
    labels: ['reason'],
    read: ({ serving }) =>
      Object.entries(serving?.dataPath?.counters?.dropped ?? {}).map(([why, count]) => [[why], count]),
  },
  total('icmp_errors_sent', 'ICMP errors that the engine sent about packets it dropped.', 'icmpSent'),
  total('icmp_errors_suppressed', 'ICMP errors not sent, because of the limit of their rate.', 'icmpSuppressed'),
  total('send_stalls', 'Times that the socket had no room, and packets waited.', 'sendStalls'),
  single(
    'counter',
    'flannel_engine_device_drops_total',
    'Packets that the kernel dropped because the queue of the device was full. They begin anew with the device.',
    ({ serving }) => serving?.dataPath?.deviceDrops,
  ),
  total('socket_drops', "Datagrams that the kernel dropped because the socket's buffer was full.", 'socketDrops'),
  total('stray_datagrams', 'Datagrams to a port that is only sent from, which the kernel dropped.', 'strayDatagrams'),
  total('receive_errors', 'Errors that the socket reported on receiving.', 'receiveErrors'),
  total('super_packets', 'Reads that brought several packets at once.', 'superPackets'),
  total('segmented_sends', 'Sends of several packets at once.', 'segmentedSends'),
  total('merged_writes', 'Writes of several packets at once.', 'mergedWrites'),
  single('gauge', 'flannel_engine_last_errno', 'errno of the last failed send, write or receive; 0: none.', (facts) => {
    return facts.serving?.dataPath?.counters?.lastErrno;
  }),
  peer('sent_packets', 'Packets sent to a peer. Its counters begin anew when it has left the network.', 'sentPackets'),
  peer('sent_bytes', 'Bytes of these.', 'sentBytes'),
  peer('received_packets', 'Packets of a peer that were written to the device.', 'receivedPackets'),
  peer('received_bytes', 'Bytes of these.', 'receivedBytes'),
  path(
    'limit_bytes',
    'The largest packet that the path to a peer takes; only where it is smaller than the MTU.',
    'limit',
  ),
  path(
    'unsegmented_from_bytes',
    'Packets of this length or more are sent to a peer one by one, because the kernel refused to segment them; only such peers.',
    'unsegmentedFrom',
  ),
];

export const METRICS: readonly Metric[] = [...DAEMON, ...CONTROL, ...ENGINE];

/** A metric of which nothing is known yet is left out. */
export function renderMetrics(facts: Facts): string {
  const lines: string[] = [];
  for (const metric of METRICS) {
    const samples = metric.read(facts);
    if (samples.length === 0) continue;
    lines.push(`# HELP ${metric.name} ${metric.help}`, `# TYPE ${metric.name} ${metric.type}`);
    for (const [values, value] of samples) lines.push(`${metric.name}${labelsOf(metric, values)} ${value}`);
  }
  return `${lines.join('\n')}\n`;
}

function labelsOf({ labels }: Metric, values: readonly string[]): string {
  if (labels.length === 0) return '';
  return `{${labels.map((label, index) => `${label}="${escapeLabel(values[index]!)}"`).join(',')}}`;
}

function escapeLabel(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}
