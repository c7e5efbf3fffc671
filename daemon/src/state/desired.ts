/**
 * What this node's kernel should look like, as a value. A backend computes it from the leases; diff.ts compares it with what is
 * there; nothing here knows how it comes about.
 */
import type { Ip } from '@flannel-ts/inet/ip';
import type { InterfaceAddress, Prefix } from '@flannel-ts/inet/prefix';

/** What a device of one kind has beside what all have. `kind` is the kernel's word (IFLA_INFO_KIND). */
export type LinkAttributes =
  /** Made by the data path, which keeps its descriptor. */
  { readonly kind: 'tun' };

/** A device that is ours alone: it is up and has these addresses and no others, but link-local ones of the kernel's. */
export type DesiredLink = LinkAttributes & {
  /** A device of this name and another kind is not ours. */
  readonly name: string;
  readonly mtu: number;
  readonly addresses: readonly InterfaceAddress[];
};

/** A route in the main table, marked with our protocol number. */
export interface DesiredRoute {
  readonly dst: Prefix;
  /** Name of the device. */
  readonly link: string;
  readonly gateway?: Ip;
}

export interface DesiredState {
  readonly links: readonly DesiredLink[];
  readonly routes: readonly DesiredRoute[];
}
