/** Routes of the main table as values, and changes of them as requests. No decisions here. */
import { RTPROT_FLANNEL } from '@flannel-ts/flannel/defaults';
import { type Prefix, prefixCovers } from '@flannel-ts/inet/prefix';
import type { Netlink, NetlinkRequest } from '@flannel-ts/rtnetlink/connection';
import {
  RT_SCOPE_LINK,
  RT_SCOPE_UNIVERSE,
  RTN_BLACKHOLE,
  RTN_UNICAST,
  RTN_UNREACHABLE,
} from '@flannel-ts/rtnetlink/constants';
import { getLink } from '@flannel-ts/rtnetlink/link';
import {
  addRouteRequest,
  deleteRouteRequest,
  ensureRouteAbsent,
  listRoutes,
  type Route,
  type RouteSpec,
  replaceRouteRequest,
} from '@flannel-ts/rtnetlink/route';
import { type ActualRoute, defaultMetric } from './actual.ts';
import type { RouteChange } from './change.ts';
import type { DesiredRoute } from './desired.ts';
import type { Owner } from './owner.ts';

const KERNEL_TYPES = { unicast: RTN_UNICAST, unreachable: RTN_UNREACHABLE, blackhole: RTN_BLACKHOLE } as const;

/** Those of the main table to and inside the owner's networks, whoever made them. */
export function readRoutes(nl: Netlink, { networks }: Owner): ActualRoute[] {
  const names = new Map<number, string | undefined>();
  const nameOf = (index: number): string | undefined => {
    if (!names.has(index)) names.set(index, getLink(nl, index)?.name);
    return names.get(index);
  };
  return listRoutes(nl).flatMap((route) => {
    const { dst } = route;
    const isInside = dst !== undefined && networks.some((network) => prefixCovers(network, dst));
    return isInside ? [actualRoute(route, dst, nameOf)] : [];
  });
}

/** `indexOf` throws when the device is gone. */
export function routeRequest(change: RouteChange, indexOf: (link: string) => number): NetlinkRequest {
  switch (change.type) {
    case 'add-route':
      return addRouteRequest(specOf(change.route, indexOf));
    case 'replace-route':
      return replaceRouteRequest(specOf(change.route, indexOf));
    case 'delete-route':
      return deleteRouteRequest(specOfActual(change.route, indexOf));
  }
}

/** Exactly this route; no other one of the same destination. False when it is gone. */
export function removeRoute(nl: Netlink, route: ActualRoute): boolean {
  const index = route.link === undefined ? undefined : getLink(nl, route.link)?.index;
  if (route.link !== undefined && index === undefined) return false;
  return ensureRouteAbsent(
    nl,
    specOfActual(route, () => index!),
  );
}

function specOf(route: DesiredRoute, indexOf: (link: string) => number): RouteSpec {
  const common = { dst: route.dst, priority: route.metric, protocol: RTPROT_FLANNEL } as const;
  if (route.type !== 'unicast') return { ...common, type: KERNEL_TYPES[route.type] };
  const { gateway, onlink, link } = route;
  // flannel's udp backend adds its route with scope global, other than ip(8) would (udp_network_amd64.go).
  const scope = route.scope === 'link' ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
  return { ...common, gateway, onlink, scope, outIndex: indexOf(link) };
}

function specOfActual(
  { dst, type, link, gateway, metric, protocol }: ActualRoute,
  indexOf: (link: string) => number,
): RouteSpec {
  const outIndex = type === 'unicast' && link !== undefined ? indexOf(link) : undefined;
  const kernelType = type === 'other' ? undefined : KERNEL_TYPES[type];
  // For IPv4 a metric of 0 means any, and there is no other word for it.
  return { dst, gateway, outIndex, priority: metric || undefined, protocol, type: kernelType };
}

function actualRoute(route: Route, dst: Prefix, nameOf: (index: number) => string | undefined): ActualRoute {
  const { gateway, outIndex, type, protocol, priority, onlink, scope, family } = route;
  const link = type === RTN_UNICAST && outIndex !== undefined ? nameOf(outIndex) : undefined;
  return {
    dst,
    type: typeOf(route),
    metric: priority ?? defaultMetric(dst),
    protocol,
    ...(link !== undefined && { link }),
    ...(gateway !== undefined && { gateway }),
    ...(onlink && { onlink }),
    ...(family === 4 && scope === RT_SCOPE_LINK && { scope: 'link' }),
  };
}

function typeOf({ type, outIndex }: Route): ActualRoute['type'] {
  switch (type) {
    case RTN_UNICAST:
      return outIndex === undefined ? 'other' : 'unicast'; // without a device: several next hops
    case RTN_UNREACHABLE:
      return 'unreachable';
    case RTN_BLACKHOLE:
      return 'blackhole';
    default:
      return 'other';
  }
}
