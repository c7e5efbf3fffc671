/** What the answers of the peers say about this node. Pure. */
import { type Carrier, describeCarriers } from '@flannel-ts/flannel/backend-needs';
import { formatIp } from '@flannel-ts/inet/ip';
import { formatPrefix } from '@flannel-ts/inet/prefix';
import type { PeerReach } from './table.ts';

export interface ReachVerdict {
  /** This node is cut off: nobody answers. */
  readonly trouble?: string;
  /** Some peers are not reached, or not with large packets: more likely their fault, or that of the path. */
  readonly notes: readonly string[];
}

export interface ReachFacts {
  readonly peers: readonly PeerReach[];
  readonly mtu: number;
  /** What has to get through between the nodes. */
  readonly carriers: readonly Carrier[];
  /** Without an answer for longer, a peer counts as silent. */
  readonly graceMs: number;
  /** Why peers cannot be probed; undefined: they can. */
  readonly blocked?: string | undefined;
  /** Right after a peer became known; see START_MS. */
  readonly startMs?: number;
}

/**
 * So long a node that has not been answered yet does not say that it is ready. No longer: leases of nodes that are gone stay for
 * up to 24 hours, and a first node among them has nobody to wait for.
 */
export const START_MS = 3000;
/** Three questions without an answer, of peers that are asked every 5 to 6 seconds. */
export const GRACE_MS = 16_000;

const MOST_NAMED = 3;

export function judgeReach({ peers, mtu, carriers, graceMs, blocked, startMs = START_MS }: ReachFacts): ReachVerdict {
  if (peers.length === 0) return { notes: [] };
  if (blocked !== undefined) {
    return {
      notes: [`whether other nodes can be reached is not known: ${blocked}: give flanneld the capability CAP_NET_RAW`],
    };
  }
  const silent = peers.filter(({ silentMs }) => silentMs > graceMs);
  // A node that is only just known says nothing yet, neither for this one nor against it.
  const anyAnswers = peers.some(({ answered, silentMs }) => answered && silentMs <= graceMs);
  if (silent.length > 0 && !anyAnswers) return { trouble: nobodyAnswers(silent, carriers), notes: [] };
  if (peers.every(({ answered, silentMs }) => !answered && silentMs < startMs)) {
    return { trouble: `waiting for the first answer of ${nodes(peers)} through the overlay`, notes: [] };
  }
  const narrow = peers.filter(({ pathMtu, silentMs }) => pathMtu === 'lost' && silentMs <= graceMs);
  return {
    notes: [
      ...(silent.length > 0
        ? [
            `${countNodes(silent)} of ${nodes(peers)} ${countNodes(silent) === 1 ? 'does' : 'do'} not answer through the overlay: ${named(silent, true)}`,
          ]
        : []),
      ...(narrow.length > 0
        ? [
            `packets of ${mtu} bytes get lost on the way to ${named(narrow, false)}, smaller ones arrive: make the MTU of the interface, or of the path, the same on all nodes`,
          ]
        : []),
    ],
  };
}

function nobodyAnswers(silent: readonly PeerReach[], carriers: readonly Carrier[]): string {
  const seconds = Math.round(Math.min(...silent.map(({ silentMs }) => silentMs)) / 1000);
  const who =
    countNodes(silent) === 1
      ? `the only other node, ${named(silent, false)}, has not answered`
      : `none of ${nodes(silent)} has answered`;
  const open = carriers.length === 0 ? '' : `${describeCarriers(carriers)} has to be open between the nodes, `;
  return `${who} through the overlay for ${seconds} s: ${open}check firewalls, security groups and the route to ${formatIp(silent[0]!.peer)}`;
}

/** A node may have a subnet of each family. */
export function countNodes(peers: readonly PeerReach[]): number {
  return new Set(peers.map(({ node }) => node)).size;
}

function nodes(peers: readonly PeerReach[]): string {
  const count = countNodes(peers);
  return count === 1 ? '1 other node' : `${count} other nodes`;
}

function named(peers: readonly PeerReach[], withTime: boolean): string {
  const names = peers.slice(0, MOST_NAMED).map(({ subnet, peer, silentMs }) => {
    return `${formatPrefix(subnet)} at ${formatIp(peer)}${withTime ? ` for ${Math.round(silentMs / 1000)} s` : ''}`;
  });
  const more = peers.length - names.length;
  return more > 0 ? `${names.join(', ')} and ${more} more` : names.join(', ');
}

export interface PodPathFacts {
  /** Asked from the host, and the same peers asked from the health endpoint, which is a pod to the kernel. */
  readonly host: readonly PeerReach[];
  readonly pod: readonly PeerReach[];
  /** Of the health endpoint. */
  readonly from: string;
  readonly graceMs: number;
}

/** What peers answer to the host and not to a pod is lost on this node: by forwarding, a firewall, or the bridge. */
export function judgePodPath({ host, pod, from, graceMs }: PodPathFacts): ReachVerdict {
  const answersHost = new Set(
    host.filter(({ silentMs }) => silentMs <= graceMs).map(({ subnet }) => formatPrefix(subnet)),
  );
  const asked = pod.filter(({ subnet }) => answersHost.has(formatPrefix(subnet)));
  const silent = asked.filter(({ silentMs }) => silentMs > graceMs);
  if (silent.length === 0) return { notes: [] };
  const what = `answer this host and not its health endpoint ${from}`;
  if (silent.length < asked.length)
    return { notes: [`${countNodes(silent)} of ${countNodes(asked)} nodes ${what}: ${named(silent, true)}`] };
  const seconds = Math.round(Math.min(...silent.map(({ silentMs }) => silentMs)) / 1000);
  return {
    trouble: `pods of this node reach nobody for ${seconds} s: ${nodes(silent)} ${countNodes(silent) === 1 ? what.replace('answer', 'answers') : what}: check firewall rules, forwarding and the bridge of this node`,
    notes: [],
  };
}
