/** Reads what interface.ts chooses from. */
import type { OuterMode } from '@flannel-ts/flannel/backend-config';
import type { Family } from '@flannel-ts/inet/family';
import type { Ip } from '@flannel-ts/inet/ip';
import { isErrno } from '@flannel-ts/linux/errors';
import { readSysctl } from '@flannel-ts/linux/sysctl';
import { type Address, listAddresses } from '@flannel-ts/rtnetlink/address';
import type { Netlink } from '@flannel-ts/rtnetlink/connection';
import { IFA_F_DEPRECATED, IFA_F_PERMANENT, IFA_F_TEMPORARY, RTN_UNICAST } from '@flannel-ts/rtnetlink/constants';
import { isNetlinkError } from '@flannel-ts/rtnetlink/errors';
import { listLinks } from '@flannel-ts/rtnetlink/link';
import { listRoutes, lookUpRoute } from '@flannel-ts/rtnetlink/route';
import { sleep } from '../abort.ts';
import {
  type AddressFacts,
  type ExternalInterface,
  type InterfaceOptions,
  isSettling,
  type NodeFacts,
  selectInterface,
} from './select.ts';

/** As long as addresses of IPv6 are commonly checked, and some more. */
const SETTLED_WITHIN_MS = 10_000;
const LOOK_AGAIN_MS = 250;

/** selectInterface() of this node; while no interface is found, addresses that are still being checked are waited for. */
export async function findInterface(
  nl: Netlink,
  options: InterfaceOptions,
  mode: OuterMode,
  signal: AbortSignal,
): Promise<ExternalInterface> {
  for (const end = Date.now() + SETTLED_WITHIN_MS; ; ) {
    const facts = readNodeFacts(nl, options.canReach);
    try {
      return selectInterface(options, mode, facts);
    } catch (error) {
      signal.throwIfAborted();
      if (!isSettling(facts) || Date.now() > end) throw error;
    }
    await sleep(LOOK_AGAIN_MS, signal);
  }
}

export function readNodeFacts(nl: Netlink, canReach: Ip | undefined): NodeFacts {
  const addresses = listAddresses(nl);
  const links = listLinks(nl).map(({ name, index, mtu }) => {
    const own = addresses.filter((entry) => entry.index === index);
    const ipv6Mtu = own.some(({ family }) => family === 6) ? readIpv6Mtu(name) : undefined;
    return { name, index, mtu, ...(ipv6Mtu !== undefined && { ipv6Mtu }), addresses: own.map(addressFacts) };
  });
  return {
    links,
    defaultRoute: { ipv4: defaultRouteIndex(nl, 4), ipv6: defaultRouteIndex(nl, 6) },
    reachSource: canReach === undefined ? undefined : sourceFor(nl, canReach),
  };
}

function addressFacts({ family, address, flags, tentative, duplicate }: Address): AddressFacts {
  return {
    address: address.address,
    permanent: (flags & IFA_F_PERMANENT) !== 0,
    unfit: (flags & IFA_F_DEPRECATED) !== 0 || tentative || duplicate,
    tentative: tentative && !duplicate,
    // The same bit as IFA_F_SECONDARY of IPv4.
    temporary: family === 6 && (flags & IFA_F_TEMPORARY) !== 0,
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

/** The one the kernel prefers: flannel takes the first of the list, whatever its metric. */
function defaultRouteIndex(nl: Netlink, family: Family): number | undefined {
  const defaults = listRoutes(nl, { family })
    .filter(({ dst }) => dst === undefined || dst.length === 0)
    .filter(({ type }) => type === RTN_UNICAST);
  defaults.sort((a, b) => (a.priority ?? 0) - (b.priority ?? 0));
  return defaults[0]?.nextHops[0]?.outIndex;
}

function sourceFor(nl: Netlink, address: Ip): Ip | undefined {
  try {
    return lookUpRoute(nl, address)?.source;
  } catch (error) {
    if (isNetlinkError(error, 'ENETUNREACH', 'EHOSTUNREACH')) return undefined;
    throw error;
  }
}
