/** What the kernel has, as far as it matters here, as values. */
import type { Ip } from '@flannel-ts/inet/ip';
import type { InterfaceAddress, Prefix } from '@flannel-ts/inet/prefix';

export interface ActualLink {
  readonly name: string;
  readonly index: number;
  readonly mtu: number;
  readonly up: boolean;
  readonly addresses: readonly InterfaceAddress[];
}

/** A route in the main table, whoever made it. */
export interface ActualRoute {
  readonly dst: Prefix;
  /** `other`: what we never make, like several next hops. */
  readonly type: 'unicast' | 'unreachable' | 'blackhole' | 'other';
  readonly link?: string;
  readonly gateway?: Ip;
  /** As the kernel compares it. */
  readonly metric: number;
  /** RTPROT_* */
  readonly protocol: number;
}

export interface ActualState {
  readonly links: readonly ActualLink[];
  /** Those to and inside the owner's networks. */
  readonly routes: readonly ActualRoute[];
}

/** The metric that the kernel gives an IPv6 route created without one (net/ip6_route.h, IP6_RT_PRIO_USER). */
export const IPV6_DEFAULT_METRIC = 1024;

export function defaultMetric({ family }: Prefix): number {
  return family === 6 ? IPV6_DEFAULT_METRIC : 0;
}
