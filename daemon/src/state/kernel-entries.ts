/** ARP, NDP and FDB entries as values, and changes of them as requests. No decisions here. */
import type { Netlink, NetlinkRequest } from '@flannel-ts/rtnetlink/connection';
import { NTF_SELF, NUD_PERMANENT } from '@flannel-ts/rtnetlink/constants';
import { deleteFdbRequest, listFdb, replaceFdbRequest } from '@flannel-ts/rtnetlink/fdb';
import { deleteNeighbourRequest, listNeighbours, replaceNeighbourRequest } from '@flannel-ts/rtnetlink/neighbour';
import type { ActualFdbEntry, ActualLink, ActualNeighbour } from './actual.ts';
import type { EntryChange } from './change.ts';

export function readNeighbours(nl: Netlink, { name: link, index }: ActualLink): ActualNeighbour[] {
  return listNeighbours(nl, { index }).map(({ address, mac, state }) => ({
    link,
    address,
    mac,
    permanent: isPermanent(state),
  }));
}

/** Those of the device itself, and not of a bridge that it may be a port of. */
export function readFdb(nl: Netlink, { name: link, index }: ActualLink): ActualFdbEntry[] {
  return listFdb(nl, { index })
    .filter(({ flags }) => (flags & NTF_SELF) !== 0)
    .map(({ mac, dst: remote, state }) => ({ link, mac, remote, permanent: isPermanent(state) }));
}

/** `indexOf` throws when the device is gone. */
export function entryRequest(change: EntryChange, indexOf: (link: string) => number): NetlinkRequest {
  const index = indexOf(change.entry.link);
  switch (change.type) {
    case 'set-neighbour':
      return replaceNeighbourRequest({ ...change.entry, index });
    case 'delete-neighbour':
      return deleteNeighbourRequest({ ...change.entry, index });
    case 'set-fdb':
      return replaceFdbRequest({ index, mac: change.entry.mac, dst: change.entry.remote });
    case 'delete-fdb':
      return deleteFdbRequest({ index, mac: change.entry.mac, dst: change.entry.remote });
  }
}

function isPermanent(state: number): boolean {
  return (state & NUD_PERMANENT) !== 0;
}
