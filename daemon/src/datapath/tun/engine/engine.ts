import type { Ip } from '@flannel-ts/inet/ip';
import type { Ipv4 } from '@flannel-ts/inet/ipv4';
import type { Ipv6 } from '@flannel-ts/inet/ipv6';
import type { Port } from '@flannel-ts/inet/port';
import type { Prefix } from '@flannel-ts/inet/prefix';
import type { Reason } from './reasons.ts';
import type { AbilityName } from './shared.ts';

/*
 * Words used by every engine:
 *
 *   packet     an IPv4 or IPv6 packet as it crosses the TUN device, no header before it: the version in its first byte tells
 *   datagram   a UDP datagram between two nodes; its payload is one packet (flannel's `udp` backend has no other framing)
 *   peer       the other node, named by the address its datagrams come from
 *   route      a subnet and the peer that owns it; the longest prefix wins
 *   outgoing   device -> socket;  incoming: socket -> device
 */

export interface EngineConfig {
  /** A TUN queue without packet information (IFF_NO_PI); without virtio header, but for engines that say they take one. Made non-blocking by the engine; the caller closes it. */
  readonly tunFd: number;
  /** A bound UDP socket, of the family by which peers are reached. Made non-blocking by the engine; the caller closes it. */
  readonly socketFd: number;
  /**
   * The address of the device, source of the engine's ICMP errors. The kernel takes a packet with one of its own addresses
   * as source only where `net.ipv4.conf.DEVICE.accept_local` is 1; without that sysctl the errors are martians. Absent where
   * IPv4 is off inside: then nobody is told of a dropped packet of IPv4.
   */
  readonly tunAddress?: Ipv4;
  /**
   * The IPv6 address of the device. Without it packets of IPv6 are dropped as `not_ipv4` and routes of IPv6 have no effect: so
   * an engine that knows no IPv6 does in any case.
   */
  readonly tunAddress6?: Ipv6;
  readonly mtu: number;
  /** Port of every peer. */
  readonly port: Port;
  /**
   * Take datagrams only from the address of a peer, with an inner source in one of that peer's subnets (default true).
   * The source port is not looked at: flannel's receiver does not either, and senders may spread over ports.
   * Turn it off where outside hosts reach pods through a node that does not masquerade (flanneld without -ip-masq).
   */
  readonly filterPeers?: boolean;
  /** Offloads of the device and the socket, where the engine knows any (default true). */
  readonly offload?: boolean;
  /** How long an engine that knows how looks for more packets before it sleeps, while that pays, in microseconds (default 0: not at all). */
  readonly busyPollUs?: number;
  /** Verify the checksums of inner packets before they are merged, since the kernel makes new ones (default true). */
  readonly verifyChecksums?: boolean;
}

export interface EngineRoute {
  readonly subnet: Prefix;
  /** Of the socket's family, whatever is inside; one of the other family is nobody's. */
  readonly peer: Ip;
}

export interface RouteChange {
  /** New routes, and those that lead to another peer now. Of equal subnets the last one holds. */
  readonly set: readonly EngineRoute[];
  /** A subnet that is also in `set` is not removed; one that has no route is passed over. */
  readonly removed: readonly Prefix[];
}

/** What is known of the path to a peer; it holds for that peer alone. 0: nothing. */
export interface PeerPath {
  /** The largest packet, as set by setPathLimit(). */
  readonly limit: number;
  /** Packets of this length or more are sent one by one, because the kernel refused to segment them on this path. */
  readonly unsegmentedFrom: number;
  /** How often it refused that. */
  readonly fallbacks: number;
  /** errno of the last refused send to this peer. */
  readonly lastErrno: number;
}

export interface PeerCounters {
  readonly sentPackets: number;
  readonly sentBytes: number;
  readonly receivedPackets: number;
  readonly receivedBytes: number;
  readonly path: PeerPath;
}

/** Bytes are those of inner packets. Exact up to 2^53. */
export interface EngineCounters {
  /** Read from the device, whatever became of them. */
  readonly tunPackets: number;
  readonly tunBytes: number;
  /** Read from the socket, whatever became of them. */
  readonly socketPackets: number;
  readonly socketBytes: number;
  /** Handed to the socket for a peer, without the engine's own ICMP errors. */
  readonly sentPackets: number;
  readonly sentBytes: number;
  /** Written to the device, without the engine's own ICMP errors. */
  readonly deliveredPackets: number;
  readonly deliveredBytes: number;
  readonly dropped: Readonly<Record<Reason, number>>;
  /** ICMP errors sent, and those not sent because of the rate limit. */
  readonly icmpSent: number;
  readonly icmpSuppressed: number;
  /** Times the socket had no room and the packet waited. */
  readonly sendStalls: number;
  /** Datagrams that the kernel dropped because the socket's buffer was full (or their checksum wrong), before the engine saw them. */
  readonly socketDrops: number;
  /** Errors the socket reported on receiving; the engine went on. */
  readonly receiveErrors: number;
  /** Reads of several packets at once, sends of several, writes of several; 0 in an engine that knows no offloads. */
  readonly superPackets: number;
  readonly segmentedSends: number;
  readonly mergedWrites: number;
  /** Offloads of the device or the socket turned off because the kernel refused their use. What a single path refuses is in `peers`. */
  readonly offloadFallbacks: number;
  /** errno of the last failed send, write or receive; 0 when there was none. */
  readonly lastErrno: number;
  /** What the engine makes use of; the words of shared.ts. */
  readonly abilities: Readonly<Record<AbilityName, number>>;
  /** Current peers only. */
  readonly peers: ReadonlyMap<Ip, PeerCounters>;
}

export interface Engine {
  /** Makes these all routes. Of equal subnets the last one holds. */
  setRoutes(routes: readonly EngineRoute[]): void;
  /** Takes effect within milliseconds and never stops traffic; costs as much as there are changes, however many routes there are. */
  changeRoutes(change: RouteChange): void;
  /**
   * The largest packet, in bytes, that is sent to a peer without fragments: what is larger and must not be fragmented is
   * answered with an ICMP error that says so (IPv6: never with less than 1280). Undefined: the MTU. Forgotten with the peer.
   */
  setPathLimit(peer: Ip, limit: number | undefined): void;
  /** Read from shared memory, without the engine noticing. */
  counters(): EngineCounters;
  /** Settles only if the engine dies by itself. */
  readonly failed: Promise<Error>;
  /** Resolves when no packet moves any more and the descriptors are no longer used. May be called again. */
  stop(): Promise<void>;
}

/** Resolves when packets flow. Aborting before rejects, aborting after stops the engine. */
export type StartEngine = (config: EngineConfig, signal?: AbortSignal) => Promise<Engine>;
