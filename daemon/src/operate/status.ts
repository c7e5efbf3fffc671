/** What `/status` says: the state of this node in one JSON value, for people and for scripts. Pure. */
import { formatLeaseSubnets } from '@flannel-ts/flannel/lease';
import { formatIp } from '@flannel-ts/inet/ip';
import { formatPrefix } from '@flannel-ts/inet/prefix';
import type { RefusedLease } from '../backend/backend.ts';
import type { ServingFacts } from './metrics.ts';
import type { PeerReach } from './reach/table.ts';
import type { Readiness } from './readiness.ts';

/** Times in seconds, with a fraction where that says something. */
export function statusOf(version: string, readiness: Readiness, serving: ServingFacts | undefined): object {
  return {
    version,
    ready: readiness.ready,
    troubles: readiness.present.map(({ part, trouble, sinceMs }) => ({ part, trouble, forSeconds: seconds(sinceMs) })),
    details: readiness.details,
    ...(serving && {
      node: nodeOf(serving),
      source: sourceOf(serving),
      peers: serving.reach.map(peerOf),
      refused: refusedOf(serving),
    }),
  };
}

function nodeOf({ backend, external, lease, leaseEnd, dataPath }: ServingFacts): object {
  return {
    subnets: formatLeaseSubnets(lease),
    backend,
    interface: external.name,
    address: formatIp(external.address),
    leaseEnds: leaseEnd === undefined ? null : new Date(leaseEnd).toISOString(),
    ...(dataPath && { engine: dataPath.engine, engineRuns: dataPath.counters !== undefined }),
  };
}

/** Null for a source that has nothing to say of itself. */
function sourceOf({ source }: ServingFacts): object | null {
  if (source === undefined) return null;
  const { name, silentMs, member, failovers, resyncs, servesKept } = source;
  return { name, member: member ?? null, silentSeconds: seconds(silentMs), failovers, resyncs, servesKept };
}

function peerOf({ subnet, peer, answered, silentMs, rttMs, pathMtu }: PeerReach): object {
  return {
    subnet: formatPrefix(subnet),
    address: formatIp(peer),
    lastAnswerSecondsAgo: answered ? seconds(silentMs) : null,
    roundTripMs: rttMs === undefined ? null : Math.round(rttMs * 1000) / 1000,
    largePackets: pathMtu,
  };
}

function refusedOf({ refused }: ServingFacts): object[] {
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
