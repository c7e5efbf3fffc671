/** What this host is and where it sends, as far as a lease could be in its way. */
import { formatIp, type Ip } from '@flannel-ts/inet/ip';
import { listAddresses } from '@flannel-ts/rtnetlink/address';
import type { Netlink } from '@flannel-ts/rtnetlink/connection';
import { RTN_UNICAST } from '@flannel-ts/rtnetlink/constants';
import { isNetlinkError } from '@flannel-ts/rtnetlink/errors';
import { getLink } from '@flannel-ts/rtnetlink/link';
import { lookUpRoute, type Route } from '@flannel-ts/rtnetlink/route';

export function readLocalAddresses(nl: Netlink): Ip[] {
  return listAddresses(nl).map(({ address }) => address.address);
}

/** How the host sends to other nodes: those by a device of flannel's, and those on a link of its own; by name of the device. */
export interface Paths {
  /** By a device of flannel's, ours or another network's. */
  readonly tunnelled: ReadonlyMap<Ip, string>;
  /** Without a gateway, by another device. */
  readonly direct: ReadonlyMap<Ip, string>;
}

export function readPaths(nl: Netlink, addresses: Iterable<Ip>): Paths {
  const names = new Map<number, string | undefined>();
  const tunnelled = new Map<Ip, string>();
  const direct = new Map<Ip, string>();
  for (const address of addresses) {
    const { type, outIndex, gateway } = routeTo(nl, address) ?? {};
    if (outIndex === undefined) continue;
    if (!names.has(outIndex)) names.set(outIndex, getLink(nl, outIndex)?.name);
    const name = names.get(outIndex);
    if (name === undefined) continue;
    if (name.startsWith('flannel')) tunnelled.set(address, name);
    else if (gateway === undefined && type === RTN_UNICAST) direct.set(address, name);
  }
  return { tunnelled, direct };
}

/** Undefined while the host would not send at all. */
function routeTo(nl: Netlink, address: Ip): Route | undefined {
  try {
    return lookUpRoute(nl, address);
  } catch (error) {
    if (isNetlinkError(error, 'ENETUNREACH', 'EHOSTUNREACH', 'EINVAL', 'EACCES', 'ENETDOWN', 'ENODEV'))
      return undefined;
    throw new Error(`Cannot look up the route to ${formatIp(address)}`, { cause: error });
  }
}
