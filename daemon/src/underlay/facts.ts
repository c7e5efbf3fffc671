/** Reads from the kernel what select.ts chooses from. */
import type { Family } from '@flannel-ts/inet/family';
import type { Ip } from '@flannel-ts/inet/ip';
import { isErrno } from '@flannel-ts/linux/errors';
import { readSysctl } from '@flannel-ts/linux/sysctl';
import { type Address, listAddresses } from '@flannel-ts/rtnetlink/address';
import { type Netlink, withNetlink } from '@flannel-ts/rtnetlink/connection';
import {
  IFA_F_DEPRECATED,
  IFA_F_PERMANENT,
  IFA_F_SECONDARY,
  IFA_F_TEMPORARY,
  RTN_UNICAST,
} from '@flannel-ts/rtnetlink/constants';
import { isNetlinkError } from '@flannel-ts/rtnetlink/errors';
import { listLinks } from '@flannel-ts/rtnetlink/link';
import { listRoutes, lookUpRoute } from '@flannel-ts/rtnetlink/route';
import type { AddressFacts, NodeFacts } from './select.ts';

/** With a connection of its own: an error of another one, or one that is left over, does not matter here. */
export function readNode(canReach: Ip | undefined): NodeFacts {
  return withNetlink({}, (nl) => readNodeFacts(nl, canReach));
}

export function readNodeFacts(nl: Netlink, canReach: Ip | undefined): NodeFacts {
  const addresses = listAddresses(nl);
  const links = listLinks(nl).map(({ name, index, mtu, up }) => {
    const own = addresses.filter((entry) => entry.index === index);
    const ipv6Mtu = own.some(({ family }) => family === 6) ? readIpv6Mtu(name) : undefined;
    return { name, index, mtu, up, ...(ipv6Mtu !== undefined && { ipv6Mtu }), addresses: own.map(addressFacts) };
  });
  return {
    links,
    defaultRoutes: { 4: defaultRouteIndexes(nl, 4), 6: defaultRouteIndexes(nl, 6) },
    reachSource: canReach === undefined ? undefined : sourceFor(nl, canReach),
  };
}

function addressFacts({ family, address, flags, tentative, duplicate }: Address): AddressFacts {
  return {
    address: address.address,
    permanent: (flags & IFA_F_PERMANENT) !== 0,
    unfit: (flags & IFA_F_DEPRECATED) !== 0 || tentative || duplicate,
    tentative: tentative && !duplicate,
    duplicate,
    // IPv4's IFA_F_SECONDARY and IPv6's IFA_F_TEMPORARY are the same bit.
    temporary: family === 6 && (flags & IFA_F_TEMPORARY) !== 0,
    secondary: family === 4 && ((flags & IFA_F_SECONDARY) !== 0 || address.length === 32),
  };
}

function readIpv6Mtu(link: string): number | undefined {
  try {
    return Number(readSysctl(`net/ipv6/conf/${link}/mtu`));
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined; // the link is gone by now
    throw error;
  }
}

/** By metric: flannel chooses the first of the list, whatever its metric. */
function defaultRouteIndexes(nl: Netlink, family: Family): number[] {
  const defaults = listRoutes(nl, { family })
    .filter(({ dst }) => dst === undefined || dst.length === 0)
    .filter(({ type }) => type === RTN_UNICAST);
  defaults.sort((a, b) => (a.priority ?? 0) - (b.priority ?? 0));
  return [...new Set(defaults.flatMap(({ nextHops }) => nextHops.map(({ outIndex }) => outIndex)))];
}

function sourceFor(nl: Netlink, address: Ip): Ip | undefined {
  try {
    return lookUpRoute(nl, address)?.source;
  } catch (error) {
    if (isNetlinkError(error, 'ENETUNREACH', 'EHOSTUNREACH', 'EOPNOTSUPP', 'EAFNOSUPPORT')) return undefined;
    throw error;
  }
}
