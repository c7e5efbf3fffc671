/** What this host is and where it sends, as far as a lease could be in its way. */
import { formatIp, type Ip } from '@flannel-ts/inet/ip';
import { listAddresses } from '@flannel-ts/rtnetlink/address';
import type { Netlink } from '@flannel-ts/rtnetlink/connection';
import { isNetlinkError } from '@flannel-ts/rtnetlink/errors';
import { getLink } from '@flannel-ts/rtnetlink/link';
import { lookUpRoute } from '@flannel-ts/rtnetlink/route';

export function readLocalAddresses(nl: Netlink): Ip[] {
  return listAddresses(nl).map(({ address }) => address.address);
}

/** Of these addresses, those to which the host sends through a device of flannel's, ours or another network's; and by which. */
export function readTunnelled(nl: Netlink, addresses: Iterable<Ip>): Map<Ip, string> {
  const names = new Map<number, string | undefined>();
  const found = new Map<Ip, string>();
  for (const address of addresses) {
    const index = outIndexOf(nl, address);
    if (index === undefined) continue;
    if (!names.has(index)) names.set(index, getLink(nl, index)?.name);
    const name = names.get(index);
    if (name?.startsWith('flannel')) found.set(address, name);
  }
  return found;
}

/** Undefined while the host would not send at all. */
function outIndexOf(nl: Netlink, address: Ip): number | undefined {
  try {
    return lookUpRoute(nl, address)?.outIndex;
  } catch (error) {
    if (isNetlinkError(error, 'ENETUNREACH', 'EHOSTUNREACH', 'EINVAL', 'EACCES', 'ENETDOWN', 'ENODEV'))
      return undefined;
    throw new Error(`Cannot look up the route to ${formatIp(address)}`, { cause: error });
  }
}
