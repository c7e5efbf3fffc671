import type { Ipv4 } from '@flannel-ts/inet/ipv4';
import { ipv6ToBytes } from '@flannel-ts/inet/ipv6';
import { errnoName } from '@flannel-ts/linux/errors';
import { packetBuffer } from '../device.ts';
import type { EngineConfig } from '../engine.ts';
import { EngineError } from '../errors.ts';
import { judgeIncoming, judgeIncoming6, judgeOutgoing, judgeOutgoing6 } from '../forward.ts';
import {
  fragmentationNeeded,
  type IcmpError,
  NET_UNREACHABLE,
  plateauBelow,
  RateLimit,
  TIME_EXCEEDED,
  writeIcmpError,
} from '../icmp.ts';
import { HOP_LIMIT_EXCEEDED, MIN_IPV6_MTU, NO_ROUTE_6, packetTooBig, writeIcmpError6 } from '../icmp6.ts';
import { destination, dontFragment, source, totalLength } from '../packet.ts';
import { IPV6_DESTINATION, IPV6_SOURCE, isIpv6, totalLength6 } from '../packet6.ts';
import { RouteTable } from '../peers.ts';
import { RouteTable6 } from '../peers6.ts';
import {
  NO_ROUTE,
  reasonIndex,
  SEND_FAILED,
  TOO_BIG,
  TRUNCATED,
  TTL_EXPIRED,
  UNKNOWN_PEER,
  type Verdict,
  WRITE_FAILED,
} from '../reasons.ts';
import {
  claimSlots,
  FIRST_DROP,
  hasNewRoutes,
  PEER_STRIDE,
  RECEIVED,
  SENT,
  type Shared,
  TOTAL,
  type TotalName,
  takeRoutes,
} from '../shared.ts';

/** Where packets come from and go to; buffers of the device are of packetBuffer(). Each returns a length, or a negative errno; none blocks. */
export interface Ports {
  readTun(buffer: Uint8Array): number;
  writeTun(buffer: Uint8Array, length: number): number;
  /** The datagram's real length, which may be more than the buffer holds. */
  receive(buffer: Uint8Array): number;
  /** The address that the last received datagram came from. */
  sender(): Ipv4;
  send(buffer: Uint8Array, length: number, peer: Ipv4): number;
}

// asm-generic/errno-base.h, errno.h
const EINTR = -4;
const EBADF = -9;
const EAGAIN = -11;
const EFAULT = -14;
const EBADFD = -77; // the answer of a TUN descriptor whose device was deleted
const ENOTSOCK = -88;
const EMSGSIZE = -90;

/** More than any IPv4 packet or datagram. */
const BUFFER_BYTES = 65536;

// Linux's own limit for the whole machine (net.ipv4.icmp_msgs_per_sec and _burst).
const ICMP_PER_SECOND = 1000;
const ICMP_BURST = 50;

/** A socket that only ever answers with errors would keep a processor busy. */
const MAX_RECEIVE_FAILURES = 1000;

export type ForwarderConfig = Pick<EngineConfig, 'tunAddress' | 'tunAddress6' | 'mtu' | 'filterPeers'>;

/** What an error says in either family. */
const ABOUT_NO_ROUTE = [NET_UNREACHABLE, NO_ROUTE_6] as const;
const ABOUT_TIME = [TIME_EXCEEDED, HOP_LIMIT_EXCEEDED] as const;
type Errors = readonly [IcmpError, IcmpError];

/** One packet per call, in each direction. */
export class Forwarder {
  #routes = RouteTable.EMPTY;
  #routes6 = RouteTable6.EMPTY;
  #version = 0;
  readonly #filterPeers: boolean;
  /** Absent where IPv6 is off. */
  readonly #tunAddress6: Uint8Array | undefined;
  readonly #outgoing = packetBuffer(BUFFER_BYTES);
  readonly #incoming = packetBuffer(BUFFER_BYTES);
  readonly #icmp = packetBuffer(MIN_IPV6_MTU);
  readonly #limit: RateLimit;
  #identification = 0;
  /** The peer of the packet in #outgoing that waits for room in the socket, 0 when none waits. */
  #waiting = 0 as Ipv4;
  /** In a row, without a datagram between them. */
  #receiveFailures = 0;

  constructor(
    readonly ports: Ports,
    readonly config: ForwarderConfig,
    readonly shared: Shared,
    readonly now: () => number,
  ) {
    this.#filterPeers = config.filterPeers ?? true;
    this.#tunAddress6 = config.tunAddress6 === undefined ? undefined : ipv6ToBytes(config.tunAddress6);
    this.#limit = new RateLimit(ICMP_PER_SECOND, ICMP_BURST, now());
  }

  /** Whether a packet waits for room in the socket: then the device must not be polled, but the socket for POLLOUT. */
  get stalled(): boolean {
    return this.#waiting !== 0;
  }

  /** Takes over a newly announced route table, if there is one that is not being written at this moment. */
  refreshRoutes(): void {
    if (!hasNewRoutes(this.shared, this.#version)) return;
    const taken = takeRoutes(this.shared);
    if (taken === undefined) return;
    claimSlots(this.shared, taken.rows);
    claimSlots(this.shared, taken.rows6);
    this.#routes = new RouteTable(taken.rows);
    this.#routes6 = new RouteTable6(taken.rows6);
    this.#version = taken.version;
    if (this.stalled) this.#rerouteWaiting();
  }

  /**
   * One packet each way, so that neither direction starves the other; false when there was none at all. New routes come
   * first, so that traffic does not starve control, as it does in flannel's proxy.
   */
  turn(): boolean {
    this.refreshRoutes();
    const sent = this.forwardOutgoing();
    const received = this.forwardIncoming();
    return sent || received;
  }

  /** Moves one packet from the device to the socket; false when there is none, or no room for it. */
  forwardOutgoing(): boolean {
    if (this.stalled) return this.#sendOutgoing(this.#waiting);
    const packet = this.#outgoing;
    const length = this.ports.readTun(packet);
    if (length === EAGAIN || length === EINTR) return false;
    if (length < 0) throw lost('read from the TUN device', length);
    this.#count('tunPackets', 1);
    this.#count('tunBytes', length);
    const { mtu } = this.config;
    const six = this.#isSix(packet, length);
    const verdict = six
      ? judgeOutgoing6(packet, length, this.#routes6, mtu)
      : judgeOutgoing(packet, length, this.#routes, mtu);
    if (verdict >= 0) return this.#sendOutgoing((six ? this.#routes6 : this.#routes).peer(verdict));
    this.#drop(verdict);
    if (verdict === NO_ROUTE) this.#answerDevice(ABOUT_NO_ROUTE);
    else if (verdict === TTL_EXPIRED) this.#answerDevice(ABOUT_TIME);
    else if (verdict === TOO_BIG) this.#answerTooBig(mtu);
    return true;
  }

  /** Moves one packet from the socket to the device; false when there is none. */
  forwardIncoming(): boolean {
    const packet = this.#incoming;
    const length = this.ports.receive(packet);
    if (length === EAGAIN || length === EINTR) return false;
    if (length < 0) return this.#receiveFailed(length);
    this.#receiveFailures = 0;
    this.#count('socketPackets', 1);
    this.#count('socketBytes', length);
    if (length > packet.length) {
      this.#drop(TRUNCATED);
      return true;
    }
    const sender = this.ports.sender();
    const verdict = this.#judgeIncoming(packet, length, sender);
    if (verdict >= 0) {
      this.#deliver(lengthOf(packet), sender);
    } else {
      this.#drop(verdict);
      if (verdict === TTL_EXPIRED) this.#answerPeer(ABOUT_TIME);
    }
    return true;
  }

  #judgeIncoming(packet: Uint8Array, length: number, sender: Ipv4): Verdict {
    const { tunAddress } = this.config;
    const filter = this.#filterPeers;
    if (!this.#isSix(packet, length)) {
      return judgeIncoming(packet, length, sender, this.#routes, tunAddress, filter);
    }
    if (filter && this.#slotOf(sender) < 0) return UNKNOWN_PEER;
    return judgeIncoming6(packet, length, sender, this.#routes6, this.#tunAddress6!, filter);
  }

  /** Where IPv6 is off, its packets are what is no IPv4. */
  #isSix(packet: Uint8Array, length: number): boolean {
    return this.#tunAddress6 !== undefined && isIpv6(packet, length);
  }

  /** A peer of routes of IPv6 has one of IPv4, too: they come from one lease. */
  #slotOf(peer: Ipv4): number {
    return this.#routes.peerSlot(peer);
  }

  #sendOutgoing(peer: Ipv4): boolean {
    const length = lengthOf(this.#outgoing);
    const result = this.ports.send(this.#outgoing, length, peer);
    if (result === EAGAIN) {
      if (!this.stalled) this.#count('sendStalls', 1);
      this.#waiting = peer;
      return false;
    }
    if (result === EINTR) {
      this.#waiting = peer;
      return true;
    }
    this.#waiting = 0 as Ipv4;
    if (result >= 0) {
      this.#count('sentPackets', 1);
      this.#count('sentBytes', length);
      const slot = this.#slotOf(peer);
      if (slot >= 0) this.#countPeer(slot * PEER_STRIDE + SENT, length);
      return true;
    }
    this.#sendFailed(result, length);
    return true;
  }

  #sendFailed(error: number, length: number): void {
    if (isLost(error)) throw lost('send on the UDP socket', error);
    this.#failure(error);
    this.#drop(error === EMSGSIZE ? TOO_BIG : SEND_FAILED);
    // The kernel keeps the path's MTU to itself (it would tell a connected socket): guess as RFC 1191 hosts do.
    if (error === EMSGSIZE) this.#answerTooBig(Math.min(this.config.mtu, plateauBelow(length)));
  }

  #deliver(length: number, sender: Ipv4): void {
    const result = this.ports.writeTun(this.#incoming, length);
    if (result < 0) {
      if (isLost(result)) throw lost('write to the TUN device', result);
      this.#failure(result);
      this.#drop(WRITE_FAILED);
      return;
    }
    this.#count('deliveredPackets', 1);
    this.#count('deliveredBytes', length);
    const slot = this.#slotOf(sender);
    if (slot >= 0) this.#countPeer(slot * PEER_STRIDE + RECEIVED, length);
  }

  /** An ICMP error about the outgoing packet goes back through the device. */
  #answerDevice(errors: Errors): void {
    const length = this.#writeIcmp(this.#outgoing, errors);
    if (length > 0 && this.ports.writeTun(this.#icmp, length) >= 0) this.#count('icmpSent', 1);
  }

  #answerTooBig(mtu: number): void {
    if (versionOf(this.#outgoing) === 4 && !dontFragment(this.#outgoing)) return;
    this.#answerDevice([fragmentationNeeded(mtu), packetTooBig(Math.max(mtu, MIN_IPV6_MTU))]);
  }

  /** An ICMP error about the incoming packet goes to the peer that has its source. */
  #answerPeer(errors: Errors): void {
    const packet = this.#incoming;
    const six = versionOf(packet) === 6;
    const table = six ? this.#routes6 : this.#routes;
    const row = six ? this.#routes6.lookup(packet, IPV6_SOURCE) : this.#routes.lookup(source(packet));
    if (row < 0) return;
    const length = this.#writeIcmp(packet, errors);
    if (length > 0 && this.ports.send(this.#icmp, length, table.peer(row)) >= 0) this.#count('icmpSent', 1);
  }

  #writeIcmp(offender: Uint8Array, [error, error6]: Errors): number {
    this.#identification = (this.#identification + 1) & 0xffff;
    const length =
      versionOf(offender) === 6
        ? writeIcmpError6(this.#icmp, offender, error6, this.#tunAddress6!)
        : writeIcmpError(this.#icmp, offender, error, this.config.tunAddress, this.#identification);
    if (length === 0 || this.#limit.take(this.now())) return length;
    this.#count('icmpSuppressed', 1);
    return 0;
  }

  /** Errors of earlier sends, such as ECONNREFUSED, also surface on receiving: the socket stays good. */
  #receiveFailed(error: number): boolean {
    if (isLost(error) || ++this.#receiveFailures > MAX_RECEIVE_FAILURES) throw lost('receive on the UDP socket', error);
    this.#failure(error);
    this.#count('receiveErrors', 1);
    return true;
  }

  /** The peer that a packet waited for may be gone. */
  #rerouteWaiting(): void {
    const packet = this.#outgoing;
    const six = versionOf(packet) === 6;
    const row = six ? this.#routes6.lookup(packet, IPV6_DESTINATION) : this.#routes.lookup(destination(packet));
    this.#waiting = row < 0 ? (0 as Ipv4) : (six ? this.#routes6 : this.#routes).peer(row);
    if (!this.stalled) this.#drop(NO_ROUTE);
  }

  #count(name: TotalName, by: number): void {
    this.shared.totals[TOTAL[name]]! += by;
  }

  #countPeer(at: number, bytes: number): void {
    this.shared.peers[at]! += 1;
    this.shared.peers[at + 1]! += bytes;
  }

  #drop(verdict: Verdict): void {
    this.shared.totals[FIRST_DROP + reasonIndex(verdict)]! += 1;
  }

  #failure(error: number): void {
    this.shared.totals[TOTAL.lastErrno] = -error;
  }
}

function versionOf(packet: Uint8Array): number {
  return packet[0]! >>> 4;
}

/** Of a packet whose header was checked. */
function lengthOf(packet: Uint8Array): number {
  return versionOf(packet) === 6 ? totalLength6(packet) : totalLength(packet);
}

/** Errors that say that the descriptor is not what it was: nothing but a new engine helps. */
function isLost(error: number): boolean {
  return error === EBADF || error === EBADFD || error === ENOTSOCK || error === EFAULT;
}

function lost(attempt: string, error: number): EngineError {
  return new EngineError('DESCRIPTOR_LOST', `Cannot ${attempt} any more (${errnoName(-error)})`);
}
