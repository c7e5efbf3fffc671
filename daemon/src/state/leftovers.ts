/** What real flannel and earlier starts of ours leave on a node: recognized by their names, their kind and their addresses. */
import { RTPROT_FLANNEL } from '@flannel-ts/flannel/defaults';
import { type Prefix, parsePrefix, prefixContains } from '@flannel-ts/inet/prefix';
import { listAddresses } from '@flannel-ts/rtnetlink/address';
import type { Netlink } from '@flannel-ts/rtnetlink/connection';
import { RTPROT_BOOT } from '@flannel-ts/rtnetlink/constants';
import { ensureLinkAbsent, type Link, listLinks } from '@flannel-ts/rtnetlink/link';
import type { ActualRoute } from './actual.ts';
import { describeRoute } from './change.ts';
import { readRoutes, removeRoute } from './kernel-routes.ts';
import { type Owner, owns } from './owner.ts';

/** Devices of flannel's backends that outlive it (backend/vxlan/vxlan.go, ipip/ipip.go, wireguard/wireguard_network.go). */
const DEVICES: readonly { readonly kind: string; readonly name: RegExp }[] = [
  { kind: 'vxlan', name: /^flannel(-v6)?\.\d+$/ },
  { kind: 'ipip', name: /^flannel\.ipip$/ },
  { kind: 'wireguard', name: /^flannel-wg(-v6)?$/ },
];
/** Of the udp backend, whose device goes with its process, unless it was made to stay. */
const TUN_DEVICE = { kind: 'tun', name: /^flannel\d+$/ };

const EVERYTHING: Owner = { networks: [parsePrefix('0.0.0.0/0'), parsePrefix('::/0')] };

export interface LeftoverOptions {
  /** TUN devices as well: right only when no flanneld runs. */
  readonly tun?: boolean;
}

/** `undefined`: of every network, where nobody knows any more which it was. */
export function findLeftoverDevices(nl: Netlink, owner: Owner | undefined, options: LeftoverOptions = {}): Link[] {
  const wanted = options.tun ? [...DEVICES, TUN_DEVICE] : DEVICES;
  const addresses = listAddresses(nl);
  return listLinks(nl)
    .filter((link) => wanted.some(({ kind, name }) => link.kind === kind && name.test(link.name)))
    .filter(({ index }) => owner === undefined || isInside(owner.networks, addresses, index));
}

/** Returns the names of what was removed. To be used when no flanneld runs. */
export function removeLeftoverDevices(nl: Netlink, owner: Owner | undefined): string[] {
  return findLeftoverDevices(nl, owner, { tun: true })
    .filter(({ index }) => ensureLinkAbsent(nl, index))
    .map(({ name }) => name);
}

/**
 * Removes all routes of ours in these networks (`undefined`: in all), and those in the shape that host-gw, and vxlan or ipip with
 * DirectRouting, give theirs: to a whole subnet of another node by that node's address (backend/route_network.go). To be used
 * when no flanneld runs.
 */
export function removeLeftoverRoutes(nl: Netlink, owner: Owner | undefined, ownSubnets: readonly Prefix[]): string[] {
  const isLeftover = (route: ActualRoute): boolean =>
    owner === undefined
      ? route.protocol === RTPROT_FLANNEL
      : owns(owner, route, new Set()) || isOfHostGw(route, ownSubnets);
  return readRoutes(nl, owner ?? EVERYTHING)
    .filter((route) => isLeftover(route))
    .filter((route) => removeRoute(nl, route))
    .map(describeRoute);
}

/** An operator's own route may look the same: it is left alone where it is no whole subnet. */
export function isOfHostGw(route: ActualRoute, ownSubnets: readonly Prefix[]): boolean {
  const own = ownSubnets.find(({ family }) => family === route.dst.family);
  return (
    route.protocol === RTPROT_BOOT &&
    route.type === 'unicast' &&
    route.gateway !== undefined &&
    own !== undefined &&
    own.length === route.dst.length &&
    own.base !== route.dst.base
  );
}

function isInside(
  networks: readonly Prefix[],
  addresses: ReturnType<typeof listAddresses>,
  linkIndex: number,
): boolean {
  return addresses.some(
    ({ index, address }) => index === linkIndex && networks.some((network) => prefixContains(network, address.address)),
  );
}
