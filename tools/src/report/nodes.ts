/** The nodes and pods of a stack as text. Pure. */
import { type Column, formatTable, wrap } from '@flannel-ts/daemon/operate/show/layout';
import type { Status } from '@flannel-ts/daemon/operate/status';
import { formatDuration } from '@flannel-ts/daemon/units';
import type { NodeStates } from './daemons.ts';
import type { NodeOutput, Outputs, PodOutput } from './outputs.ts';

const INDENT = '  ';

export function formatStack({ network, etcdEndpoints, artifact }: Outputs, states: NodeStates, width: number): string {
  return wrap(
    `VPC ${network.vpcCidr}, pods ${network.podCidr}, backend ${runningBackend(network.backend, states)}, etcd ${etcdEndpoints.join(' ')}, flannel-ts ${artifact.version} (${artifact.sha256.slice(0, 12)})`,
    width,
  );
}

/** That of the nodes, if they can be asked: an earlier `up` may have stored another one and not ended. */
function runningBackend(stored: Outputs['network']['backend'], states: NodeStates): string {
  const running = [...states.values()].flatMap(({ status }) => status?.node?.backend ?? []);
  const types = [...new Set(running)];
  return types.length === 0 ? (stored.Type ?? 'udp') : types.join(' and ');
}

const COLUMNS: readonly Column[] = [
  { title: 'NODE' },
  { title: 'ADDRESS' },
  { title: 'PODS FROM' },
  { title: 'FLANNELD' },
  { title: 'PEERS', leaveOut: 1 },
  { title: 'LEASE ENDS', leaveOut: 2 },
  { title: 'BACKEND', leaveOut: 3 },
];

/** `now` in milliseconds of the epoch. */
export function formatNodes(nodes: readonly NodeOutput[], states: NodeStates, width: number, now: number): string {
  const rows = nodes.flatMap(({ name, address, podSubnet }) => {
    const { health = '', status } = states.get(name) ?? {};
    // A line for the subnet of each family.
    const [subnet = '-', ...more] = (status?.node?.subnets ?? podSubnet ?? '-').split(',');
    return [
      [name, address, subnet, health, peersOf(status), leaseEndOf(status, now), backendOf(status)],
      ...more.map((other) => ['', '', other]),
    ];
  });
  // Of the nodes of a cloud nothing is known here.
  return formatTable(states.size === 0 ? COLUMNS.slice(0, 3) : COLUMNS, rows, width, INDENT);
}

export function formatPods(nodes: readonly NodeOutput[], pods: readonly PodOutput[], width: number): string {
  const rows = nodes.map(({ name }) => {
    const own = pods.filter(({ node }) => node === name).map((pod) => `${pod.name} ${pod.address}`);
    return [name, own.join(', ')];
  });
  return formatTable([{ title: 'NODE' }, { title: 'PODS' }], rows, width, INDENT);
}

/** How many of the other nodes have answered through the overlay, and how long the longest silence is. */
function peersOf(status: Status | undefined): string {
  if (status?.peers === undefined) return '-';
  if (status.peers.length === 0) return 'no others';
  const silences = status.peers.flatMap(({ lastAnswerSecondsAgo: silence }) => silence ?? []);
  if (isStarting(status)) return 'first answers are awaited';
  const nodes = new Set(status.peers.map(({ node }) => node));
  const unanswered = new Set(
    status.peers.filter(({ lastAnswerSecondsAgo: silence }) => silence === null).map(({ node }) => node),
  );
  const count = `${nodes.size - unanswered.size} of ${nodes.size} answered`;
  return silences.length === 0 ? count : `${count}, ${formatDuration(Math.max(...silences))} ago`;
}

/** Nodes are asked one after the other, each within some seconds after it is known. */
const FIRST_ANSWERS_SECONDS = 16;

/** Whether it is too early to say who does not answer. */
export function isStarting({ upSeconds, peers = [] }: Status): boolean {
  return upSeconds < FIRST_ANSWERS_SECONDS && peers.some(({ lastAnswerSecondsAgo: silence }) => silence === null);
}

function leaseEndOf(status: Status | undefined, now: number): string {
  if (status?.node === undefined) return '-';
  const { leaseEnds } = status.node;
  if (leaseEnds === null) return 'never';
  const seconds = (Date.parse(leaseEnds) - now) / 1000;
  return seconds > 0 ? `in ${formatDuration(seconds)}` : `${formatDuration(-seconds)} ago`;
}

function backendOf(status: Status | undefined): string {
  if (status?.node === undefined) return '-';
  const { backend, engine, engineRuns } = status.node;
  return engine === undefined ? backend : `${backend}, ${engine} engine${engineRuns ? '' : ' (not running)'}`;
}
