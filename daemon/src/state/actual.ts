/** What the kernel has, as far as it matters here, as values. */
import type { Ip } from '@flannel-ts/inet/ip';
import type { Mac } from '@flannel-ts/inet/mac';
import type { InterfaceAddress, Prefix } from '@flannel-ts/inet/prefix';
import type { Device } from '@flannel-ts/wireguard/device';
import type { KnownEndpoints } from './wireguard.ts';

export interface ActualLink {
  readonly name: string;
  readonly index: number;
  readonly mtu: number;
  readonly up: boolean;
  /** Neighbour entries are useless without it. */
  readonly arp: boolean;
  /** Name of the bridge, bond or VRF that somebody has made it a port of, and so takes its packets. */
  readonly master?: string;
  readonly queueLength?: number;
  /** Without link-local ones of IPv6, which the kernel makes. */
  readonly addresses: readonly InterfaceAddress[];
  readonly attributes: ActualLinkAttributes;
  /** Absent where the link has no IPv6. */
  readonly ipv6?: ActualIpv6Settings;
}

/** Whether the kernel gives the link IPv6 addresses and routes by itself. */
export interface ActualIpv6Settings {
  /** addrgenmode is not `none`. */
  readonly makesLinkLocal: boolean;
  /** accept_ra; absent where it cannot be set, as in a container whose /proc/sys is read-only. */
  readonly acceptsAdvertisements?: boolean;
}

export type ActualLinkAttributes =
  | { readonly kind: 'tun' }
  | ActualVxlan
  | ActualIpip
  | ActualWireguard
  /** A kind that we never make; `description` like `a dummy device`. */
  | { readonly kind: 'other'; readonly description: string };

export interface ActualVxlan {
  readonly kind: 'vxlan';
  readonly mac: Mac | undefined;
  readonly vni: number;
  readonly port: number;
  readonly parent: string | undefined;
  readonly local: Ip | undefined;
  /** Where to send what has no FDB entry. */
  readonly group: Ip | undefined;
  readonly learning: boolean;
  readonly gbp: boolean;
  /** IPv4 without a UDP checksum, or IPv6 without one in either direction. */
  readonly omitsChecksums: boolean;
  /** What neither ours nor flannel's has, as `ip link` writes it, like `ttl 1`. */
  readonly oddities: readonly string[];
}

export interface ActualIpip {
  readonly kind: 'ipip';
  readonly local: Ip | undefined;
  readonly remote: Ip | undefined;
  /** As of ActualVxlan. */
  readonly oddities: readonly string[];
}

export interface ActualWireguard {
  readonly kind: 'wireguard';
  readonly device: Device;
  readonly known: KnownEndpoints;
  /** Seconds since 1970. */
  readonly readAt: number;
}

/** A route in the main table, whoever made it. */
export interface ActualRoute {
  readonly dst: Prefix;
  /** `other`: what we never make, like several next hops. */
  readonly type: 'unicast' | 'unreachable' | 'blackhole' | 'other';
  readonly link?: string;
  readonly gateway?: Ip;
  readonly onlink?: true;
  /** Of IPv4; absent for any other scope. */
  readonly scope?: 'link';
  /** As the kernel compares it. */
  readonly metric: number;
  /** RTPROT_* */
  readonly protocol: number;
}

export interface ActualNeighbour {
  readonly link: string;
  readonly address: Ip;
  readonly mac: Mac | undefined;
  readonly permanent: boolean;
}

export interface ActualFdbEntry {
  readonly link: string;
  readonly mac: Mac;
  readonly remote: Ip | undefined;
  readonly permanent: boolean;
}

export interface ActualState {
  readonly links: readonly ActualLink[];
  /** Those to and inside the owner's networks. */
  readonly routes: readonly ActualRoute[];
  /** Those of the vxlan devices among the links, whoever made them. */
  readonly neighbours: readonly ActualNeighbour[];
  /** The same. */
  readonly fdb: readonly ActualFdbEntry[];
  /** Names of devices of another backend, which an earlier flannel has left behind. */
  readonly leftovers: readonly string[];
}

/** The metric that the kernel gives an IPv6 route created without one (net/ip6_route.h, IP6_RT_PRIO_USER). */
export const IPV6_DEFAULT_METRIC = 1024;

export function defaultMetric({ family }: Prefix): number {
  return family === 6 ? IPV6_DEFAULT_METRIC : 0;
}
