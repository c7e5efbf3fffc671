/**
 * What this node's kernel should look like, as a value. A backend computes it from the leases; diff.ts compares it with what is
 * there; nothing here knows how it comes about.
 */
import type { Ip } from '@flannel-ts/inet/ip';
import type { Ipv4 } from '@flannel-ts/inet/ipv4';
import type { Mac } from '@flannel-ts/inet/mac';
import type { Port } from '@flannel-ts/inet/port';
import type { InterfaceAddress, Prefix } from '@flannel-ts/inet/prefix';

/**
 * What a device of one kind has beside what all have. `kind` is the kernel's word (IFLA_INFO_KIND). All but a `tun` outlive this
 * process, so that packets go on without it.
 */
export type LinkAttributes =
  /** Made by the data path, which keeps its descriptor. */
  { readonly kind: 'tun' } | VxlanAttributes | IpipAttributes | WireguardAttributes;

export interface VxlanAttributes {
  readonly kind: 'vxlan';
  readonly mac: Mac;
  readonly vni: number;
  readonly port: Port;
  /** Name of the interface to other nodes. */
  readonly parent: string;
  /** Source of the outer packets: an address of the parent, of either family. */
  readonly local: Ip;
  readonly learning: boolean;
  /** Group policy (the kernel's VXLAN-GBP). */
  readonly gbp: boolean;
}

export interface IpipAttributes {
  readonly kind: 'ipip';
  /** Source of the outer packets. There is no remote one: routes say where to. */
  readonly local: Ipv4;
}

export interface WireguardAttributes {
  readonly kind: 'wireguard';
  readonly port: Port;
  /** 32 bytes in Base64. A secret. */
  readonly privateKey: string;
  /** All that there are: others are removed. */
  readonly peers: readonly WireguardPeer[];
}

export interface WireguardPeer {
  /** 32 bytes in Base64. */
  readonly publicKey: string;
  readonly endpoint: { readonly address: Ip; readonly port: Port };
  /** 32 bytes in Base64. A secret. */
  readonly presharedKey?: string;
  /** Seconds; 0: none. */
  readonly keepalive: number;
  /** What is taken from the peer and sent to it. */
  readonly allowedIps: readonly Prefix[];
}

/** A permanent entry of a device's ARP or NDP table. */
export interface DesiredNeighbour {
  readonly link: string;
  readonly address: Ip;
  readonly mac: Mac;
}

/** A permanent entry of a vxlan device's forwarding table: frames for the MAC address are sent to this node. */
export interface DesiredFdbEntry {
  readonly link: string;
  readonly mac: Mac;
  readonly remote: Ip;
}

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
  | { readonly type: 'unreachable' | 'blackhole' }
);

export interface DesiredState {
  readonly links: readonly DesiredLink[];
  readonly routes: readonly DesiredRoute[];
  /** Those of the desired links are all ours: other permanent ones are removed. */
  readonly neighbours?: readonly DesiredNeighbour[];
  /** The same. */
  readonly fdb?: readonly DesiredFdbEntry[];
  /** Whose routes another flannel may have made: they do the same as ours, and may be taken away. */
  readonly superseded?: readonly { readonly subnet: Prefix; readonly peer: Ip }[];
  /** False: more routes and entries of ours may be right than are known yet, so that none is deleted. */
  readonly complete: boolean;
}
