/** The device of an earlier process with programs, which stays without one. */
import { listAddresses } from '@flannel-ts/rtnetlink/address';
import type { Netlink } from '@flannel-ts/rtnetlink/connection';
import { listLinks } from '@flannel-ts/rtnetlink/link';
import type { CarriedOverlay } from '../datapath.ts';

/** Of the same addresses inside, so that another network on this host keeps its own. */
export function leftDevice(nl: Netlink, { address, address6 }: CarriedOverlay): string | undefined {
  const own = listAddresses(nl).filter(({ address: { address: each } }) => each === address || each === address6);
  return listLinks(nl, { kind: 'tun' }).find(
    ({ index, data }) => data?.kind === 'tun' && data.persist && own.some((each) => each.index === index),
  )?.name;
}
