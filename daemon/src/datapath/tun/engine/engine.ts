import type { Ip } from '@flannel-ts/inet/ip';
import type { Ipv4 } from '@flannel-ts/inet/ipv4';
import type { Ipv6 } from '@flannel-ts/inet/ipv6';
import type { Port } from '@flannel-ts/inet/port';
import type { Prefix } from '@flannel-ts/inet/prefix';
import type { DataPathCounters } from '../../datapath.ts';
import type { Reason } from './reasons.ts';
import type { AbilityName } from './shared.ts';

/*
 * Words used by every engine:
 *
 *   packet     an IPv4 or IPv6 packet as it crosses the TUN device, with no header before it; its first byte has the version
 *   datagram   a UDP datagram between two nodes; its payload is one packet (flannel's `udp` backend has no other framing)
 *   peer       the other node, named by the address its datagrams come from
 *   route      a subnet and the peer that owns it; the longest prefix wins
 *   outgoing   device -> socket;  incoming: socket -> device
 */

export interface EngineConfig {
  /**
   * A TUN queue without packet information (IFF_NO_PI), with or without a virtio header before each packet. The engine makes it
   * non-blocking; the caller closes it.
   */
  readonly tunFd: number;
  /** A bound UDP socket of the family by which peers are reached. The engine makes it non-blocking; the caller closes it. */
  readonly socketFd: number;
  /**
   * Further bound UDP sockets of that family, to send from only: packets are spread over them and the first one by their flow
   * (source-port.ts). The caller closes them.
   */
  readonly sourceFds?: readonly number[];
  /**
   * The address of the device, source of the engine's ICMP errors. The kernel takes a packet with one of its own addresses
   * as source only where `net.ipv4.conf.DEVICE.accept_local` is 1; without that sysctl the errors are martians. Absent where
   * IPv4 is disabled inside the overlay: then no ICMP error is sent about IPv4 packets.
   */
  readonly tunAddress?: Ipv4;
  /**
   * The IPv6 address of the device, source of its ICMPv6 errors. Absent where IPv6 is disabled inside the overlay: then IPv6
   * packets are dropped as `not_ipv4`.
   */
  readonly tunAddress6?: Ipv6;
  readonly mtu: number;
  /** Port of every peer. */
  readonly port: Port;
  /**
   * Accept only datagrams that come from a peer's address and whose inner source is in one of that peer's subnets (default true).
   * The source port is ignored, as flannel's receiver does: senders may use several.
   * Turn it off where outside hosts reach pods through a node that does not masquerade (flanneld without -ip-masq).
   */
  readonly filterPeers?: boolean;
  /**
   * Routes that the first packet meets: for a device and a socket in which packets wait. Without them the engine begins with none, and
   * answers what it reads that there is no route.
   */
  readonly routes?: readonly EngineRoute[];
  /** Whether to use offloads of the device and the socket (default true). The reference engine uses none. */
  readonly offload?: boolean;
  /**
   * Whether the kernel may merge datagrams before the socket (default true). Not where programs at the interface take most of them:
   * they would see what is merged, and could not take it apart.
   */
  readonly mergeReceived?: boolean;
  /** Microseconds that the fast engine polls for more packets before it sleeps, while that pays (default 0: never). */
  readonly busyPollUs?: number;
  /** Verify the checksums of inner packets before they are merged, since the kernel makes new ones (default true). */
  readonly verifyChecksums?: boolean;
}

export interface EngineRoute {
  readonly subnet: Prefix;
  /** Of the socket's family, whatever the family of the subnet: a route to an address of the other family has no effect. */
  readonly peer: Ip;
}

export interface RouteChange {
  /** New routes, and routes that now lead to another peer. Of equal subnets the last one counts. */
  readonly set: readonly EngineRoute[];
  /** A subnet that is also in `set` is not removed; one that has no route is ignored. */
  readonly removed: readonly Prefix[];
}

export interface EngineCounters extends DataPathCounters {
  readonly dropped: Readonly<Record<Reason, number>>;
  /** What the engine uses: see ABILITY_NAMES in shared.ts. */
  readonly abilities: Readonly<Record<AbilityName, number>>;
}

export interface Engine {
  /** Replaces all routes. Of equal subnets the last one counts. */
  setRoutes(routes: readonly EngineRoute[]): void;
  /** Takes effect within milliseconds without stopping traffic. Its cost depends on the size of the change, not of the table. */
  changeRoutes(change: RouteChange): void;
  /**
   * The largest packet, in bytes, that the path to a peer carries. A larger one that must not be fragmented is dropped, and its
   * sender gets an ICMP error with this MTU (IPv6: 1280 at least). Undefined: the MTU of the overlay. Ignored for an address that
   * is no peer, and forgotten when the peer leaves.
   */
  setPathLimit(peer: Ip, limit: number | undefined): void;
  /** Read from shared memory; costs the engine nothing. */
  counters(): EngineCounters;
  /** Resolves only if the engine dies by itself. */
  readonly failed: Promise<Error>;
  /** Resolves when no packet moves any more and the descriptors are unused. May be called again. */
  stop(): Promise<void>;
}

/** Resolves when packets flow. An abort before that rejects; an abort after that stops the engine. */
export type StartEngine = (config: EngineConfig, signal?: AbortSignal) => Promise<Engine>;
