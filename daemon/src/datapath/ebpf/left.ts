/** What a flanneld with programs leaves when it ends, and how that goes when nobody wants it any more. */
import { type Prefix, prefixContains } from '@flannel-ts/inet/prefix';
import { listAddresses } from '@flannel-ts/rtnetlink/address';
import type { Netlink } from '@flannel-ts/rtnetlink/connection';
import { IFF_LOWER_UP } from '@flannel-ts/rtnetlink/constants';
import { ensureLinkAbsent, getLink, type Link, listLinks } from '@flannel-ts/rtnetlink/link';
import { deleteBpfFilter, getBpfFilter } from '@flannel-ts/rtnetlink/tc';
import type { CarriedOverlay } from '../datapath.ts';
import { filterPlace, programTitle } from './filters.ts';
import { removePair } from './pair.ts';
import { folderOf, pinnedDevices, removeEnded, removeFolder } from './pins.ts';

/** The device that an earlier process has left for such an overlay; not that of another network on this host. */
export function leftDevice(nl: Netlink, { address, address6 }: CarriedOverlay): string | undefined {
  const own = listAddresses(nl).filter(({ address: { address: each } }) => each === address || each === address6);
  return listLinks(nl, { kind: 'tun' }).find((link) => stays(link) && own.some(({ index }) => index === link.index))
    ?.name;
}

/** Removes programs, their maps and their pair of devices; the device itself is another's affair. False when there was nothing. */
export function removePrograms(nl: Netlink, device: string): boolean {
  const filters = removeFilters(nl, device);
  const names = removeFolder(folderOf(device));
  return removePair(nl, device) || names || filters;
}

/** Devices of which there are programs in this network namespace, by name. `networks`: of these, or of nobody; undefined: of all. */
export function leftPrograms(nl: Netlink, networks: readonly Prefix[] | undefined): string[] {
  return pinnedDevices().filter((device) => networks === undefined || isOf(nl, device, networks));
}

/**
 * Removes what nobody uses: programs in front of a device that no process has open, with the device, in these networks. To be used when packets
 * have another way. Returns the names of the devices.
 */
export function removeAbandoned(nl: Netlink, networks: readonly Prefix[]): string[] {
  removeEnded();
  return leftPrograms(nl, networks).filter((device) => {
    const link = getLink(nl, device);
    if (link !== undefined && (link.flags & IFF_LOWER_UP) !== 0) return false;
    removePrograms(nl, device);
    if (link !== undefined && stays(link)) ensureLinkAbsent(nl, link.index);
    return true;
  });
}

function isOf(nl: Netlink, device: string, networks: readonly Prefix[]): boolean {
  const link = getLink(nl, device);
  if (link === undefined) return true;
  const own = listAddresses(nl).filter(({ index }) => index === link.index);
  return own.some(({ address: { address } }) => networks.some((network) => prefixContains(network, address)));
}

function stays({ data }: Link): boolean {
  return data?.kind === 'tun' && data.persist;
}

/** Of kernels without links, wherever they hang; with links, nothing is found. */
function removeFilters(nl: Netlink, device: string): boolean {
  const places = listLinks(nl).flatMap(({ index }) => [
    filterPlace(device, index, 'ingress'),
    filterPlace(device, index, 'egress'),
  ]);
  const own = places.filter((place) => getBpfFilter(nl, place)?.name?.startsWith(programTitle('')));
  for (const place of own) deleteBpfFilter(nl, place);
  return own.length > 0;
}
