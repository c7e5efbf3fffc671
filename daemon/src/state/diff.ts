/** What has to be done so that the kernel is as desired. Pure: values in, values out. */
import { formatIp } from '@flannel-ts/inet/ip';
import {
  formatInterfaceAddress,
  formatPrefix,
  type InterfaceAddress,
  type Prefix,
  prefixCovers,
  sameInterfaceAddress,
} from '@flannel-ts/inet/prefix';
import { RTPROT_BOOT } from '@flannel-ts/rtnetlink/constants';
import { type ActualLink, type ActualRoute, type ActualState, defaultMetric } from './actual.ts';
import type { DesiredLink, DesiredRoute, DesiredState } from './desired.ts';
import { type Owner, owns } from './owner.ts';

export type Change =
  | { readonly type: 'set-link'; readonly link: string; readonly mtu?: number; readonly up?: true }
  | { readonly type: 'add-address' | 'delete-address'; readonly link: string; readonly address: InterfaceAddress }
  | { readonly type: 'add-route' | 'replace-route'; readonly route: DesiredRoute }
  | { readonly type: 'delete-route'; readonly route: ActualRoute };

export interface Difference {
  /** In the order to apply them: a route needs its device up, a gateway its address. */
  readonly changes: readonly Change[];
  /** Routes of others in the place of ours: they stay. */
  readonly conflicts: readonly Conflict[];
}

export interface Conflict {
  readonly wanted: DesiredRoute;
  readonly foreign: ActualRoute;
}

/** Devices that are missing are left out, and what needs them. */
export function diffState(desired: DesiredState, actual: ActualState, owner: Owner): Difference {
  const links = new Map(actual.links.map((link) => [link.name, link]));
  const routes = diffRoutes(desired, actual, owner);
  return {
    changes: [
      ...routes.first,
      ...desired.links.flatMap((link) => {
        const there = links.get(link.name);
        return there === undefined ? [] : diffLink(link, there);
      }),
      ...routes.later,
    ],
    conflicts: routes.conflicts,
  };
}

/** Devices that have to be made first. */
export function missingLinks(desired: DesiredState, actual: ActualState): DesiredLink[] {
  const names = new Set(actual.links.map((link) => link.name));
  return desired.links.filter(({ name }) => !names.has(name));
}

/** For logs: what the equivalent command would be. */
export function describeChange(change: Change): string {
  switch (change.type) {
    case 'set-link':
      return `link set ${change.link}${change.mtu === undefined ? '' : ` mtu ${change.mtu}`}${change.up ? ' up' : ''}`;
    case 'add-address':
    case 'delete-address':
      return `address ${verb(change.type)} ${formatInterfaceAddress(change.address)} dev ${change.link}`;
    case 'add-route':
    case 'replace-route':
    case 'delete-route':
      return `route ${verb(change.type)} ${describeRoute(change.route)}`;
  }
}

/** As `ip route` writes it. */
export function describeRoute(route: DesiredRoute | ActualRoute): string {
  const words = [formatPrefix(route.dst)];
  if (route.type !== 'unicast') words.unshift(route.type === 'other' ? 'multipath' : route.type);
  else {
    if (route.gateway !== undefined) words.push(`via ${formatIp(route.gateway)}`);
    if (route.link !== undefined) words.push(`dev ${route.link}`);
  }
  if (metricOf(route) !== defaultMetric(route.dst)) words.push(`metric ${metricOf(route)}`);
  return words.join(' ');
}

function verb(type: string): string {
  return type.slice(0, type.indexOf('-'));
}

function diffLink(wanted: DesiredLink, there: ActualLink): Change[] {
  const changes: Change[] = [];
  const mtu = there.mtu === wanted.mtu ? {} : { mtu: wanted.mtu };
  const up = there.up ? {} : ({ up: true } as const);
  const missing = wanted.addresses.filter((address) => !there.addresses.some((a) => sameInterfaceAddress(a, address)));
  const surplus = there.addresses.filter((address) => !wanted.addresses.some((a) => sameInterfaceAddress(a, address)));
  // The new one first: with the last address of a device its routes go, too.
  for (const address of missing) changes.push({ type: 'add-address', link: wanted.name, address });
  for (const address of surplus) changes.push({ type: 'delete-address', link: wanted.name, address });
  if (there.mtu !== wanted.mtu || !there.up) changes.push({ type: 'set-link', link: wanted.name, ...mtu, ...up });
  return changes;
}

interface RouteDifference {
  /** Before any device is touched: packets that find no other route must not leave by the default route. */
  readonly first: Change[];
  readonly later: Change[];
  readonly conflicts: Conflict[];
}

function diffRoutes(desired: DesiredState, actual: ActualState, owner: Owner): RouteDifference {
  const ourLinks = new Set(desired.links.map(({ name }) => name));
  const missing = new Set(missingLinks(desired, actual).map(({ name }) => name));
  const superseded = new Set((desired.superseded ?? []).map(({ dst, gateway }) => `${keyOf(dst)} ${gateway}`));
  const isSuperseded = (route: ActualRoute): boolean =>
    route.protocol === RTPROT_BOOT &&
    route.type === 'unicast' &&
    superseded.has(`${keyOf(route.dst)} ${route.gateway}`);
  const there = groupBy(actual.routes, ({ dst }) => keyOf(dst));
  const wanted = groupBy(desired.routes, ({ dst }) => keyOf(dst));
  const difference: RouteDifference = { first: [], later: [], conflicts: [] };

  for (const route of desired.routes) {
    if (route.type === 'unicast' && missing.has(route.link)) continue;
    const rivals = there.get(keyOf(route.dst)) ?? [];
    const inPlace = rivals.filter((rival) => rival.metric === metricOf(route));
    const mine = inPlace.find((rival) => owns(owner, rival, ourLinks));
    const foreign = rivals.find(
      (rival) => rival.metric <= metricOf(route) && !owns(owner, rival, ourLinks) && !isSuperseded(rival),
    );
    if (foreign !== undefined && route.type === 'unicast') difference.conflicts.push({ wanted: route, foreign });
    if (mine !== undefined && isSameRoute(route, mine)) continue;
    const changes = route.type === 'unreachable' ? difference.first : difference.later;
    const occupied = inPlace.some((rival) => rival !== mine && !isSuperseded(rival));
    if (mine !== undefined && !occupied) changes.push({ type: 'replace-route', route });
    if (mine !== undefined && occupied) changes.push({ type: 'delete-route', route: mine });
    if (mine !== undefined || occupied) continue;
    for (const rival of inPlace) changes.push({ type: 'delete-route', route: rival });
    changes.push({ type: 'add-route', route });
  }

  const gone = new Set(
    [...difference.first, ...difference.later].flatMap((change) =>
      change.type === 'delete-route' ? [change.route] : [],
    ),
  );
  for (const route of actual.routes) {
    if (gone.has(route)) continue;
    const isWanted = (wanted.get(keyOf(route.dst)) ?? []).some((other) => metricOf(other) === route.metric);
    const isStale = owns(owner, route, ourLinks) && desired.complete && !isWanted;
    if (isStale || isSuperseded(route)) difference.later.push({ type: 'delete-route', route });
  }
  return difference;
}

/** Routes of others inside the networks, but the own subnets: packets for them do not take the overlay. */
export function foreignRoutes(
  desired: DesiredState,
  actual: ActualState,
  owner: Owner,
  ownSubnets: readonly Prefix[],
): ActualRoute[] {
  const links = new Set(desired.links.map(({ name }) => name));
  return actual.routes.filter(
    (route) => !owns(owner, route, links) && !ownSubnets.some((subnet) => prefixCovers(subnet, route.dst)),
  );
}

function isSameRoute(wanted: DesiredRoute, there: ActualRoute): boolean {
  if (wanted.type !== 'unicast' || there.type !== 'unicast') return wanted.type === there.type;
  return wanted.link === there.link && wanted.gateway === there.gateway;
}

function metricOf(route: DesiredRoute | ActualRoute): number {
  return route.metric ?? defaultMetric(route.dst);
}

function keyOf({ family, base, length }: Prefix): string {
  return `${family} ${base}/${length}`;
}

function groupBy<T>(values: readonly T[], keyOfValue: (value: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const value of values) {
    const key = keyOfValue(value);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [value]);
    else group.push(value);
  }
  return groups;
}
