/** Routes: the difference between desired and actual. Pure. */
import { RTPROT_FLANNEL } from '@flannel-ts/flannel/defaults';
import type { Ip } from '@flannel-ts/inet/ip';
import { type Prefix, type PrefixKey, prefixCovers, prefixKey } from '@flannel-ts/inet/prefix';
import { RTPROT_BOOT } from '@flannel-ts/rtnetlink/constants';
import type { ActualRoute, ActualState } from './actual.ts';
import { metricOf, type RouteChange } from './change.ts';
import type { DesiredRoute, DesiredState } from './desired.ts';
import type { LinkDifference } from './diff-links.ts';
import { type Owner, owns } from './owner.ts';

export interface RouteDifference {
  /** Before any device is touched: packets that find no other route must not leave by the default route. */
  readonly guards: readonly RouteChange[];
  readonly set: readonly RouteChange[];
  readonly deletions: readonly RouteChange[];
  readonly conflicts: readonly Conflict[];
}

/** A route of somebody else in the place of ours. */
export interface Conflict {
  readonly wanted: DesiredRoute;
  readonly foreign: ActualRoute;
}

export function diffRoutes(
  desired: DesiredState,
  actual: ActualState,
  { fresh, absent }: LinkDifference,
  owner: Owner,
): RouteDifference {
  const ourLinks = ourDevices(desired, actual);
  const isOurs = (route: ActualRoute): boolean => owns(owner, route, ourLinks);
  // Two for each peer, which are looked at only where there is a route of flannel's kind.
  let superseded: ReadonlySet<string> | undefined;
  const supersededKeys = () =>
    (superseded ??= new Set(desired.superseded?.flatMap(({ subnet, peer }) => flannelsRoutes(subnet, peer))));
  const isSuperseded = (route: ActualRoute): boolean =>
    route.protocol === RTPROT_BOOT &&
    route.type === 'unicast' &&
    supersededKeys().has(routeKey(route.dst, route.gateway));
  const routes = actual.routes.filter(({ link }) => link === undefined || !fresh.has(link));
  const there = groupBy(routes, ({ dst }) => prefixKey(dst));
  const wanted = groupBy(desired.routes, ({ dst }) => prefixKey(dst));
  const guards: RouteChange[] = [];
  const set: RouteChange[] = [];
  const deletions: RouteChange[] = [];
  const conflicts: Conflict[] = [];
  const gone = new Set<ActualRoute>();
  /** Destinations for which there is nothing better yet than what another flannel made. */
  const waiting = new Set<PrefixKey>();

  for (const route of desired.routes) {
    if (route.type === 'unicast' && absent.has(route.link)) {
      waiting.add(prefixKey(route.dst));
      continue;
    }
    const rivals = there.get(prefixKey(route.dst)) ?? [];
    const inPlace = rivals.filter((rival) => rival.metric === metricOf(route));
    const mine = inPlace.find(isOurs);
    const foreign = rivals.find((rival) => rival.metric <= metricOf(route) && !isOurs(rival) && !isSuperseded(rival));
    if (foreign !== undefined && route.type === 'unicast') conflicts.push({ wanted: route, foreign });
    if (mine !== undefined && isSameRoute(route, mine)) continue;
    const changes = route.type === 'unreachable' ? guards : set;
    const occupied = inPlace.some((rival) => rival !== mine && !isSuperseded(rival));
    if (occupied) {
      // To replace might hit the other one.
      if (mine !== undefined) changes.push({ type: 'delete-route', route: mine });
      continue;
    }
    // The kernel replaces the first one of the same destination and metric, in one step.
    const [replaced, ...others] = inPlace;
    changes.push({ type: replaced === undefined ? 'add-route' : 'replace-route', route });
    for (const rival of inPlace) gone.add(rival);
    for (const rival of others) deletions.push({ type: 'delete-route', route: rival });
  }

  for (const change of [...guards, ...set]) if (change.type === 'delete-route') gone.add(change.route);
  for (const route of routes) {
    if (gone.has(route)) continue;
    const isWanted = (wanted.get(prefixKey(route.dst)) ?? []).some((other) => metricOf(other) === route.metric);
    const isStale = isOurs(route) && desired.complete && !isWanted;
    const isReplaced = isSuperseded(route) && !waiting.has(prefixKey(route.dst));
    if (isStale || isReplaced) deletions.push({ type: 'delete-route', route });
  }
  return { guards, set, deletions, conflicts };
}

/** Routes of others inside the networks, but the own subnets: packets for them do not take the overlay. */
export function foreignRoutes(
  desired: DesiredState,
  actual: ActualState,
  owner: Owner,
  ownSubnets: readonly Prefix[],
): ActualRoute[] {
  const links = ourDevices(desired, actual);
  return actual.routes.filter(
    (route) => !owns(owner, route, links) && !ownSubnets.some((subnet) => prefixCovers(subnet, route.dst)),
  );
}

function ourDevices(desired: DesiredState, { leftovers }: ActualState): ReadonlySet<string> {
  return new Set([...desired.links.map(({ name }) => name), ...leftovers]);
}

/** By the node's address (host-gw, DirectRouting; backend/route_network.go) or by its address in the overlay (vxlan; vxlan_network.go). */
const flannelsRoutes = (subnet: Prefix, peer: Ip): string[] => [routeKey(subnet, peer), routeKey(subnet, subnet.base)];

const routeKey = (dst: Prefix, gateway: Ip | undefined): string => `${prefixKey(dst)} ${gateway}`;

function isSameRoute(wanted: DesiredRoute, there: ActualRoute): boolean {
  if (there.protocol !== RTPROT_FLANNEL) return false;
  if (wanted.type !== 'unicast' || there.type !== 'unicast') return wanted.type === there.type;
  const hasScope = wanted.dst.family === 4;
  return (
    wanted.link === there.link &&
    wanted.gateway === there.gateway &&
    wanted.onlink === there.onlink &&
    (!hasScope || (wanted.scope === 'link') === (there.scope === 'link'))
  );
}

function groupBy<T, Key>(values: readonly T[], keyOfValue: (value: T) => Key): Map<Key, T[]> {
  const groups = new Map<Key, T[]>();
  for (const value of values) {
    const key = keyOfValue(value);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [value]);
    else group.push(value);
  }
  return groups;
}
