/** Watches whether this node still has the address that the others send to; only its owner can give it back. */
import { familyOf, formatIp } from '@flannel-ts/inet/ip';
import { listAddresses } from '@flannel-ts/rtnetlink/address';
import type { Netlink } from '@flannel-ts/rtnetlink/connection';
import { getLink } from '@flannel-ts/rtnetlink/link';
import { sleep } from '../abort.ts';
import type { ExternalInterface } from './select.ts';

const EVERY_MS = 2000;

export async function watchUnderlay(
  nl: Netlink,
  external: ExternalInterface,
  report: (trouble: string | undefined) => void,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    report(underlayTrouble(nl, external));
    await sleep(EVERY_MS, signal);
  }
}

function underlayTrouble(nl: Netlink, { address }: ExternalInterface): string | undefined {
  // On whatever interface it is now: the socket is bound to the address alone.
  const all = listAddresses(nl, { family: familyOf(address) });
  const found = all.find((entry) => entry.address.address === address);
  if (found === undefined) {
    return `the address ${formatIp(address)} is gone from this node: give it back, or restart flanneld to choose another`;
  }
  const link = getLink(nl, found.index);
  if (link !== undefined && !link.up) return `the interface ${link.name} is down`;
  return undefined;
}
