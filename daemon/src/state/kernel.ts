/** Reads the kernel into the values of diff.ts, and carries out changes. No decisions here. */
import { RTPROT_FLANNEL } from '@flannel-ts/flannel/defaults';
import { isIpv6, isLinkLocal } from '@flannel-ts/inet/ip';
import { addAddress, deleteAddress, listAddresses } from '@flannel-ts/rtnetlink/address';
import type { Netlink } from '@flannel-ts/rtnetlink/connection';
import { RT_SCOPE_UNIVERSE, RTN_UNICAST } from '@flannel-ts/rtnetlink/constants';
import { isNetlinkError } from '@flannel-ts/rtnetlink/errors';
import { getLink, setLink } from '@flannel-ts/rtnetlink/link';
import { deleteRoute, listRoutes, type Route, replaceRoute } from '@flannel-ts/rtnetlink/route';
import { DaemonError } from '../errors.ts';
import type { DesiredLink, DesiredRoute, DesiredState } from './desired.ts';
import type { ActualLink, ActualRoute, ActualState, Change } from './diff.ts';

/** What the kernel gives an IPv6 route without a priority (net/ip6_route.h). */
const IP6_RT_PRIO_USER = 1024;

export class Kernel {
  constructor(private readonly nl: Netlink) {}

  /** What there is of the devices that `desired` names, and all our routes. */
  read(desired: DesiredState): ActualState {
    const links = desired.links.map((wanted) => this.readLink(wanted)).filter((link) => link !== undefined);
    return { links, routes: this.readRoutes() };
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
      case 'replace-route':
        this.replaceRoute(change.route);
        break;
      case 'delete-route':
        this.deleteRoute(change.route);
    }
  }

  private changeAddress({ type, link, address }: Extract<Change, { address: unknown }>): void {
    const spec = { index: this.indexOf(link), address };
    if (type === 'add-address') tolerating(['EEXIST'], () => addAddress(this.nl, spec));
    else tolerating(['EADDRNOTAVAIL'], () => deleteAddress(this.nl, spec));
  }

  private replaceRoute({ dst, link, gateway }: DesiredRoute): void {
    const outIndex = this.indexOf(link);
    // flannel's udp backend adds its route with scope global, other than ip(8) would (udp_network_amd64.go).
    const spec = { dst, gateway, outIndex, scope: RT_SCOPE_UNIVERSE, protocol: RTPROT_FLANNEL };
    replaceRoute(this.nl, spec);
  }

  private deleteRoute({ dst, link, gateway, priority }: ActualRoute): void {
    const outIndex = link === undefined ? undefined : getLink(this.nl, link)?.index;
    const spec = { dst, gateway, outIndex, priority: priority || undefined, protocol: RTPROT_FLANNEL };
    tolerating(['ESRCH'], () => deleteRoute(this.nl, spec));
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

  private readRoutes(): ActualRoute[] {
    const names = new Map<number, string | undefined>();
    const nameOf = (index: number): string | undefined => {
      if (!names.has(index)) names.set(index, getLink(this.nl, index)?.name);
      return names.get(index);
    };
    return listRoutes(this.nl, { protocol: RTPROT_FLANNEL }).flatMap((route) => actualRoute(route, nameOf));
  }

  private indexOf(name: string): number {
    const link = getLink(this.nl, name);
    if (link === undefined) throw new DaemonError('KERNEL', `Device ${name} is gone`);
    return link.index;
  }
}

function actualRoute(route: Route, nameOf: (index: number) => string | undefined): ActualRoute[] {
  const { dst, gateway, outIndex, type } = route;
  if (dst === undefined) return []; // not even with our protocol id would a default route be ours
  const link = type === RTN_UNICAST && outIndex !== undefined ? nameOf(outIndex) : undefined;
  const usual = route.family === 6 ? IP6_RT_PRIO_USER : 0;
  const { priority = usual } = route;
  return [{ dst, link, priority: priority === usual ? 0 : priority, ...(gateway !== undefined && { gateway }) }];
}

/** Somebody else was as fast: what was wanted is so. */
function tolerating(codes: readonly string[], run: () => void): void {
  try {
    run();
  } catch (error) {
    if (!isNetlinkError(error, ...codes)) throw error;
  }
}
