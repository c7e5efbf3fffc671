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

/** A route in the main table, marked with our protocol number. One of the same destination and metric is never added to it. */
export type DesiredRoute = {
  readonly dst: Prefix;
  /** The kernel's default of the family when absent. */
  readonly metric?: number;
} & (
  | {
      readonly type: 'unicast';
      /** Name of the device. */
      readonly link: string;
      readonly gateway?: Ip;
      /** The gateway is a neighbour on the device although no address there says so. */
      readonly onlink?: true;
      /** `global` when absent. IPv6 has no scopes. */
      readonly scope?: 'global' | 'link';
    }
  | { readonly type: 'unreachable' }
);

/** A route that another flannel made and that does the same as one of ours: it may be taken away. */
export interface SupersededRoute {
  readonly dst: Prefix;
  readonly gateway: Ip;
}

export interface DesiredState {
  readonly links: readonly DesiredLink[];
  readonly routes: readonly DesiredRoute[];
  readonly superseded?: readonly SupersededRoute[];
  /** False: more routes of ours may be right than are known yet, so that none is deleted. */
  readonly complete: boolean;
}
