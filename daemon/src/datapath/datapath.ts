/**
 * What every data path is to the rest of the daemon. A data path starts from an overlay and then moves packets by the peers it
 * was last given, whatever becomes of the control side. How it does so (descriptors, threads, offloads) is its own affair.
 */
import type { NetworkConfig } from '@flannel-ts/flannel/network-config';
import type { Ip } from '@flannel-ts/inet/ip';
import type { Ipv4 } from '@flannel-ts/inet/ipv4';
import type { Ipv6 } from '@flannel-ts/inet/ipv6';
import type { Port } from '@flannel-ts/inet/port';
import type { Prefix } from '@flannel-ts/inet/prefix';

export interface OverlayPeer {
  /** The pods behind the peer. */
  readonly subnet: Prefix;
  /** Where packets for them are sent: of the family by which nodes reach each other, whatever is inside. */
  readonly peer: Ip;
  /** By which the node is known, if that is another one: packets of its other family may go to another address. */
  readonly node?: Ip;
}

/** What every backend makes: who has which pods, and what fits through. */
export interface Overlay {
  /** Of packets inside. */
  readonly mtu: number;
  /** This node's own inside: the first of its subnet. Source of ICMP errors; absent where IPv4 is off inside. */
  readonly address?: Ipv4;
  /** The same for IPv6. */
  readonly address6?: Ipv6;
  readonly peers: readonly OverlayPeer[];
}

/** Where datagrams arrive, for an overlay that a data path of ours carries. */
export interface Transport {
  /** An address of this node. */
  readonly listen: Ip;
  /** Of every node. */
  readonly port: Port;
}

export type CarriedOverlay = Overlay & Transport;

/** A subnet in `set` replaces its earlier peer. No subnet is in both. */
export interface PeerChange {
  readonly set: readonly OverlayPeer[];
  readonly removed: readonly OverlayPeer['subnet'][];
}

export interface DataPath {
  /** The name of its device at this moment; another one after remake() when somebody took the name. */
  readonly device: string;
  /** Never resolves; rejects when only a new process helps. */
  readonly failed: Promise<never>;
  /** Takes effect within milliseconds and never stops packets. */
  setPeers(change: PeerChange): void;
  /**
   * The largest packet of pods, in bytes, that reaches a peer: whoever finds out that larger ones vanish on the way says so here,
   * and pods that send larger ones which must not be fragmented are told. Undefined: the MTU of the overlay.
   */
  setPathLimit(peer: Ip, limit: number | undefined): void;
  /** Takes over what can change while it runs: each data path knows what that is. */
  setConfig(config: NetworkConfig): Promise<void>;
  /** Receives at another address, and has another MTU. Rejects, with all as it was, when it cannot listen there. */
  setUnderlay(overlay: Pick<CarriedOverlay, 'listen' | 'mtu'>): Promise<void>;
  /** Makes the device again, of the same name if it is free. */
  remake(): Promise<void>;
  statistics(): DataPathStatistics;
  /** Resolves when no packet moves, and none is held: until resume() they wait in what the store keeps. */
  pause(): Promise<void>;
  resume(): Promise<void>;
  /**
   * Resolves when no packet moves any more, and none is held: those that come wait in what the store keeps, for the data path of the next
   * process. Where nothing is kept that is stop().
   */
  handOver(): Promise<void>;
  /** Resolves when no packet moves any more and everything it opened is closed, in the store, too. */
  stop(): Promise<void>;
}

/** Descriptors that stay open when this process ends, for the one that takes its place. */
export interface DescriptorStore {
  /** What an earlier process has kept under a name, the caller's from now on; undefined if there is none. */
  take(name: string): number | undefined;
  /** Resolves when nobody else moves packets through what was taken. */
  released(): Promise<void>;
  /** What was taken cannot be used: whoever had it is to let go of it. */
  discard(): void;
  /** Instead of what was kept under that name. */
  keep(name: string, fd: number): void;
  forget(name: string): void;
}

export interface DataPathParts {
  /** Told whenever it changes why packets do not move; undefined: they do. */
  readonly report: (trouble: string | undefined) => void;
}

/** Throws when the overlay cannot be opened on this node. */
export type StartDataPath = (overlay: CarriedOverlay, config: NetworkConfig, parts: DataPathParts) => DataPath;

export interface DataPathStatistics {
  /** What moves the packets, by the name that users choose it by. */
  readonly engine: string;
  readonly starts: number;
  /** Of what moves packets: it died, or did not start. */
  readonly failures: number;
  /** Packets that the kernel dropped at the device's queue, which was full; undefined where it does not say. */
  readonly deviceDrops: number | undefined;
  /** Undefined while nothing moves packets. They begin anew with each start. */
  readonly counters: DataPathCounters | undefined;
  /** Packets that programs in the kernel left to the engine in user space, by reason; absent where there are no programs. */
  readonly handedOver?: Readonly<Record<string, number>>;
  /** Why what was asked for does not move the packets; absent where it does. */
  readonly refused?: string;
  /** What was taken where the choice was left to the data path, and why not another; absent where somebody chose. */
  readonly chosen?: string;
}

/** What is known of the path to a peer. 0: nothing. */
export interface PeerPath {
  /** The largest packet, as set by setPathLimit(). */
  readonly limit: number;
  /** Packets of this length or more are sent one by one: the kernel refused to segment them on this path. */
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
export interface DataPathCounters {
  /** Read from the device, including those dropped later. */
  readonly tunPackets: number;
  readonly tunBytes: number;
  /** Read from the socket, including those dropped later. */
  readonly socketPackets: number;
  readonly socketBytes: number;
  /** Sent to peers, not counting the data path's own ICMP errors. */
  readonly sentPackets: number;
  readonly sentBytes: number;
  /** Written to the device, not counting the data path's own ICMP errors. */
  readonly deliveredPackets: number;
  readonly deliveredBytes: number;
  /** By reason. */
  readonly dropped: Readonly<Record<string, number>>;
  /** ICMP errors sent, and errors suppressed by the rate limit. */
  readonly icmpSent: number;
  readonly icmpSuppressed: number;
  /** Times the socket had no room and the packet waited. */
  readonly sendStalls: number;
  /** Datagrams that the kernel dropped at the socket: its receive buffer was full, or their checksum wrong. */
  readonly socketDrops: number;
  /** Datagrams to a port that is only sent from, where no peer sends: the kernel drops them. */
  readonly strayDatagrams: number;
  /** Errors of the socket on receiving that stopped nothing. */
  readonly receiveErrors: number;
  /** Reads, sends and writes of several packets at once. */
  readonly superPackets: number;
  readonly segmentedSends: number;
  readonly mergedWrites: number;
  /** Offloads of the device or the socket that the kernel refused and that were turned off. For single paths see PeerPath. */
  readonly offloadFallbacks: number;
  /** errno of the last failed send, write or receive; 0 when there was none. */
  readonly lastErrno: number;
  /** What it makes use of, by the data path's own words. */
  readonly abilities: Readonly<Record<string, number>>;
  /** Current peers only. */
  readonly peers: ReadonlyMap<Ip, PeerCounters>;
}
