/** Reads what interface.ts chooses from. */
import type { Ipv4 } from '@flannel-ts/inet/ipv4';
import { isLinkLocalIpv6 } from '@flannel-ts/inet/ipv6';
import { listAddresses } from '@flannel-ts/rtnetlink/address';
import type { Netlink } from '@flannel-ts/rtnetlink/connection';
import { IFA_F_PERMANENT } from '@flannel-ts/rtnetlink/constants';
import { isNetlinkError } from '@flannel-ts/rtnetlink/errors';
import { listLinks } from '@flannel-ts/rtnetlink/link';
import { listRoutes, lookUpRoute } from '@flannel-ts/rtnetlink/route';
import type { NodeFacts } from './interface.ts';

const IFA_F_DEPRECATED = 0x20; // linux/if_addr.h

export function readNodeFacts(nl: Netlink, canReach: Ipv4 | undefined): NodeFacts {
  const addresses = listAddresses(nl);
  const addresses6 = listAddresses<6>(nl, { family: 6 });
  const links = listLinks(nl).map(({ name, index, mtu }) => ({
    name,
    index,
    mtu,
    addresses: addresses
      .filter((entry) => entry.index === index)
      .map(({ address, flags }) => ({
        address: address.address,
        permanent: (flags & IFA_F_PERMANENT) !== 0,
        deprecated: (flags & IFA_F_DEPRECATED) !== 0,
      })),
    ipv6: addresses6
      .filter((entry) => entry.index === index && (entry.flags & IFA_F_PERMANENT) !== 0)
      .map(({ address }) => address.address)
      .filter((address) => !isLinkLocalIpv6(address) && address !== 1n),
  }));
  return { links, defaultRouteIndex: defaultRouteIndex(nl), reachSource: canReach && sourceFor(nl, canReach) };
}

/** The one the kernel prefers: flannel takes the first of the list, whatever its metric. */
function defaultRouteIndex(nl: Netlink): number | undefined {
  const defaults = listRoutes(nl).filter(({ dst }) => dst === undefined || dst.length === 0);
  defaults.sort((a, b) => (a.priority ?? 0) - (b.priority ?? 0));
  return defaults[0]?.nextHops[0]?.outIndex;
}

function sourceFor(nl: Netlink, address: Ipv4): Ipv4 | undefined {
  try {
    return lookUpRoute<4>(nl, address)?.source;
  } catch (error) {
    if (isNetlinkError(error, 'ENETUNREACH', 'EHOSTUNREACH')) return undefined;
    throw error;
  }
}
