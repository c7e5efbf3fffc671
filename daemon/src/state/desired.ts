/**
 * What this node's kernel and engine should look like, as a value. A backend computes it from the leases; diff.ts compares
 * it with what is there; nothing here knows how it comes about.
 */
import type { Ip } from '@flannel-ts/inet/ip';
import type { Ipv4 } from '@flannel-ts/inet/ipv4';
import type { Ipv6 } from '@flannel-ts/inet/ipv6';
import type { Ipv6Interface, Ipv6Prefix } from '@flannel-ts/inet/ipv6-prefix';
import type { Port } from '@flannel-ts/inet/port';
import type { Ipv4Interface, Ipv4Prefix } from '@flannel-ts/inet/prefix';
import type { EngineRoute } from '../datapath/tun/engine/engine.ts';

/** A device that is ours alone: it is up and has these addresses and no others, but link-local ones of the kernel's. */
export interface DesiredLink {
  readonly name: string;
  /** As the kernel names it. One of the same name and another kind is not ours. */
  readonly kind: string;
  readonly mtu: number;
  readonly addresses: readonly (Ipv4Interface | Ipv6Interface)[];
}

/** A route in the main table, marked with our protocol id. */
export interface DesiredRoute {
  readonly dst: Ipv4Prefix | Ipv6Prefix;
  /** Name of the device. */
  readonly link: string;
  readonly gateway?: Ip;
}

/** The overlay in user space: a TUN device, a socket, and who has which subnet. */
export interface DesiredTunnel {
  readonly mtu: number;
  /** Source of ICMP errors; absent where IPv4 is off inside. */
  readonly address?: Ipv4;
  /** The same for IPv6. */
  readonly address6?: Ipv6;
  /** The socket's own address, of the family by which peers are reached. */
  readonly listen: Ip;
  readonly port: Port;
  readonly peers: readonly EngineRoute[];
}

export interface DesiredState {
  readonly links: readonly DesiredLink[];
  readonly routes: readonly DesiredRoute[];
  readonly tunnel?: DesiredTunnel;
}
