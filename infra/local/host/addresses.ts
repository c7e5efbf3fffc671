/** The addresses of a stack's machines and pods, as they are in their namespaces. */
import { formatIp } from '@flannel-ts/inet/ip';
import { listAddresses } from '@flannel-ts/rtnetlink/address';
import { withNetlink } from '@flannel-ts/rtnetlink/connection';
import { getLink } from '@flannel-ts/rtnetlink/link';
import { MACHINE_INTERFACE, netnsPath, VPC } from '../names.ts';
import { listParts } from './namespaces.ts';

export interface NamedAddress {
  readonly name: string;
  readonly address: string;
}

/** In the order of their names; those without an address are left out. */
export function listStackAddresses(stack: string): NamedAddress[] {
  return listParts(stack)
    .filter((part) => part !== VPC)
    .flatMap((name) => {
      const address = addressIn(netnsPath(stack, name));
      return address === undefined ? [] : [{ name, address }];
    });
}

function addressIn(netns: string): string | undefined {
  return withNetlink({ netns }, (nl) => {
    const link = getLink(nl, MACHINE_INTERFACE);
    if (link === undefined) return undefined;
    const [first] = listAddresses(nl, { index: link.index, family: 4 });
    return first && formatIp(first.address.address);
  });
}
