/** Reads the kernel into the values of actual.ts, and carries out changes. No decisions here. */
import { RTPROT_FLANNEL } from '@flannel-ts/flannel/defaults';
import { isIpv6, isLinkLocal } from '@flannel-ts/inet/ip';
import { type Prefix, prefixCovers } from '@flannel-ts/inet/prefix';
import { addAddress, deleteAddress, listAddresses } from '@flannel-ts/rtnetlink/address';
import type { Netlink } from '@flannel-ts/rtnetlink/connection';
import {
  RT_SCOPE_LINK,
  RT_SCOPE_UNIVERSE,
  RTN_BLACKHOLE,
  RTN_UNICAST,
  RTN_UNREACHABLE,
} from '@flannel-ts/rtnetlink/constants';
import { isNetlinkError } from '@flannel-ts/rtnetlink/errors';
import { getLink, setLink } from '@flannel-ts/rtnetlink/link';
import {
  addRoute,
  deleteRoute,
  listRoutes,
  type Route,
  type RouteSpec,
  replaceRoute,
} from '@flannel-ts/rtnetlink/route';
import { DaemonError } from '../errors.ts';
import { type ActualLink, type ActualRoute, type ActualState, defaultMetric } from './actual.ts';
import type { DesiredLink, DesiredRoute, DesiredState } from './desired.ts';
import { type Change, describeRoute } from './diff.ts';
import type { Owner } from './owner.ts';

const KERNEL_TYPES = { unicast: RTN_UNICAST, unreachable: RTN_UNREACHABLE, blackhole: RTN_BLACKHOLE } as const;

export class Kernel {
  constructor(
    private readonly nl: Netlink,
    private readonly owner: Owner,
  ) {}

  /** What there is of the devices that `desired` names, and all routes to and inside the owner's networks. */
  read(desired: DesiredState): ActualState {
    const links = desired.links.map((wanted) => this.readLink(wanted)).filter((link) => link !== undefined);
    return { links, routes: readRoutes(this.nl, this.owner) };
  }

  apply(change: Change): void {
    switch (change.type) {
      case 'set-link':
        setLink(this.nl, this.indexOf(change.link), { mtu: change.mtu, up: change.up });
        break;
      case 'add-address':
      case 'delete-address':
        this.changeAddress(change);
        break;
      case 'add-route':
        this.addRoute(change.route);
        break;
      case 'replace-route':
        replaceRoute(this.nl, this.specOf(change.route));
        break;
      case 'delete-route':
        removeRoute(this.nl, change.route);
    }
  }

  private changeAddress({ type, link, address }: Extract<Change, { address: unknown }>): void {
    const spec = { index: this.indexOf(link), address };
    if (type === 'add-address') tolerating(['EEXIST'], () => addAddress(this.nl, spec));
    else tolerating(['EADDRNOTAVAIL'], () => deleteAddress(this.nl, spec));
  }

  /** Only where there is none of the same destination and metric: another's stays. */
  private addRoute(route: DesiredRoute): void {
    try {
      addRoute(this.nl, this.specOf(route));
    } catch (error) {
      if (!isNetlinkError(error, 'EEXIST')) throw error;
      throw new DaemonError('KERNEL', `Somebody else has just made a route in the place of ${describeRoute(route)}`);
    }
  }

  private specOf(route: DesiredRoute): RouteSpec {
    const common = { dst: route.dst, priority: route.metric, protocol: RTPROT_FLANNEL } as const;
    if (route.type !== 'unicast') return { ...common, type: KERNEL_TYPES[route.type] };
    const { gateway, onlink, link } = route;
    // flannel's udp backend adds its route with scope global, other than ip(8) would (udp_network_amd64.go).
    const scope = route.scope === 'link' ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
    return { ...common, gateway, onlink, scope, outIndex: this.indexOf(link) };
  }

  private readLink({ name, kind }: DesiredLink): ActualLink | undefined {
    const link = getLink(this.nl, name);
    if (link?.kind !== kind) return undefined;
    const { index, mtu, up } = link;
    const addresses = listAddresses(this.nl, { index })
      .map(({ address }) => address)
      .filter(({ address }) => !(isIpv6(address) && isLinkLocal(address)));
    return { name, index, mtu, up, addresses };
  }

  private indexOf(name: string): number {
    const link = getLink(this.nl, name);
    if (link === undefined) throw new DaemonError('KERNEL', `Device ${name} is gone`);
    return link.index;
  }
}

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

/** Exactly this route; no other one of the same destination. */
export function removeRoute(nl: Netlink, { dst, type, link, gateway, metric, protocol }: ActualRoute): boolean {
  const outIndex = type === 'unicast' && link !== undefined ? getLink(nl, link)?.index : undefined;
  const kernelType = type === 'other' ? undefined : KERNEL_TYPES[type];
  // For IPv4 a metric of 0 means any, and there is no other word for it.
  const spec = { dst, gateway, outIndex, priority: metric || undefined, protocol, type: kernelType };
  return tolerating(['ESRCH'], () => deleteRoute(nl, spec));
}

function actualRoute(route: Route, dst: Prefix, nameOf: (index: number) => string | undefined): ActualRoute {
  const { gateway, outIndex, type, protocol, priority } = route;
  const link = type === RTN_UNICAST && outIndex !== undefined ? nameOf(outIndex) : undefined;
  return {
    dst,
    type: typeOf(route),
    metric: priority ?? defaultMetric(dst),
    protocol,
    ...(link !== undefined && { link }),
    ...(gateway !== undefined && { gateway }),
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

/** False when somebody else was as fast: what was wanted is so. */
function tolerating(codes: readonly string[], run: () => void): boolean {
  try {
    run();
    return true;
  } catch (error) {
    if (!isNetlinkError(error, ...codes)) throw error;
    return false;
  }
}
