/** What real flannel and earlier starts of ours leave on a node: recognized by their names, their kind and their addresses. */
import { RTPROT_FLANNEL } from '@flannel-ts/flannel/defaults';
import { type Ip, isLinkLocal } from '@flannel-ts/inet/ip';
import { type Prefix, parsePrefix, prefixContains } from '@flannel-ts/inet/prefix';
import { listAddresses } from '@flannel-ts/rtnetlink/address';
import type { Netlink } from '@flannel-ts/rtnetlink/connection';
import { RTPROT_BOOT } from '@flannel-ts/rtnetlink/constants';
import { type Link, listLinks } from '@flannel-ts/rtnetlink/link';
import type { ActualRoute } from './actual.ts';
import { readRoutes } from './kernel-routes.ts';
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

/** Those of these networks that outlive the process that made them. */
export function findLeftoverDevices(nl: Netlink, owner: Owner): Link[] {
  return devicesOf(nl, DEVICES, (addresses) => isInside(owner.networks, addresses));
}

/**
 * Every device of flannel's or ours in these networks (`undefined`: in all), and those without an address, which no network uses.
 * To be used when no flanneld runs: the device of the udp backend is among them.
 */
export function findAllDevices(nl: Netlink, owner: Owner | undefined): Link[] {
  return devicesOf(nl, [...DEVICES, TUN_DEVICE], (addresses) => {
    return owner === undefined || addresses.length === 0 || isInside(owner.networks, addresses);
  });
}

/** The bridge of this name, when it has an address in these networks. */
export function findBridge(nl: Netlink, owner: Owner | undefined, name: string): Link | undefined {
  const wanted = [{ kind: 'bridge', name: { test: (each: string) => each === name } }];
  return devicesOf(nl, wanted, (addresses) => owner === undefined || isInside(owner.networks, addresses))[0];
}

function devicesOf(
  nl: Netlink,
  wanted: readonly { readonly kind: string; readonly name: Pick<RegExp, 'test'> }[],
  isOurs: (addresses: readonly Ip[]) => boolean,
): Link[] {
  const all = listAddresses(nl).map(({ index, address }) => ({ index, address: address.address }));
  const addressesOf = (link: number): Ip[] =>
    all.filter(({ index, address }) => index === link && !isLinkLocal(address)).map(({ address }) => address);
  return listLinks(nl)
    .filter((link) => wanted.some(({ kind, name }) => link.kind === kind && name.test(link.name)))
    .filter(({ index }) => isOurs(addressesOf(index)));
}

/**
 * All routes of ours in these networks (`undefined`: in all), and those in the shape that host-gw, and vxlan or ipip with
 * DirectRouting, give theirs: to a whole subnet of another node by that node's address (backend/route_network.go). To be used
 * when no flanneld runs.
 */
export function findLeftoverRoutes(
  nl: Netlink,
  owner: Owner | undefined,
  ownSubnets: readonly Prefix[],
): ActualRoute[] {
  const isLeftover = (route: ActualRoute): boolean =>
    owner === undefined
      ? route.protocol === RTPROT_FLANNEL
      : owns(owner, route, new Set()) || isOfHostGw(route, ownSubnets);
  return readRoutes(nl, owner ?? EVERYTHING).filter((route) => isLeftover(route));
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

function isInside(networks: readonly Prefix[], addresses: readonly Ip[]): boolean {
  return addresses.some((address) => networks.some((network) => prefixContains(network, address)));
}
