import type { Ipv4 } from '@flannel-ts/inet/ipv4';
import { errnoName } from '@flannel-ts/linux/errors';
import { packetBuffer } from '../device.ts';
import type { EngineConfig } from '../engine.ts';
import { EngineError } from '../errors.ts';
import { judgeIncoming, judgeOutgoing } from '../forward.ts';
import {
  fragmentationNeeded,
  type IcmpError,
  MAX_ICMP_ERROR,
  NET_UNREACHABLE,
  plateauBelow,
  RateLimit,
  TIME_EXCEEDED,
  writeIcmpError,
} from '../icmp.ts';
import { destination, dontFragment, source, totalLength } from '../packet.ts';
import { RouteTable } from '../peers.ts';
import {
  NO_ROUTE,
  reasonIndex,
  SEND_FAILED,
  TOO_BIG,
  TRUNCATED,
  TTL_EXPIRED,
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

export type ForwarderConfig = Pick<EngineConfig, 'tunAddress' | 'mtu' | 'filterPeers'>;

/** One packet per call, in each direction. */
export class Forwarder {
  #routes = RouteTable.EMPTY;
  #version = 0;
  readonly #filterPeers: boolean;
  readonly #outgoing = packetBuffer(BUFFER_BYTES);
  readonly #incoming = packetBuffer(BUFFER_BYTES);
  readonly #icmp = packetBuffer(MAX_ICMP_ERROR);
  readonly #limit: RateLimit;
  #identification = 0;
  /** The row of the packet in #outgoing that waits for room in the socket, -1 when none waits. */
  #waiting = -1;
  /** In a row, without a datagram between them. */
  #receiveFailures = 0;

  constructor(
    readonly ports: Ports,
    readonly config: ForwarderConfig,
    readonly shared: Shared,
    readonly now: () => number,
  ) {
    this.#filterPeers = config.filterPeers ?? true;
    this.#limit = new RateLimit(ICMP_PER_SECOND, ICMP_BURST, now());
  }

  /** Whether a packet waits for room in the socket: then the device must not be polled, but the socket for POLLOUT. */
  get stalled(): boolean {
    return this.#waiting >= 0;
  }

  /** Takes over a newly announced route table, if there is one that is not being written at this moment. */
  refreshRoutes(): void {
    if (!hasNewRoutes(this.shared, this.#version)) return;
    const taken = takeRoutes(this.shared);
    if (taken === undefined) return;
    claimSlots(this.shared, taken.rows);
    this.#routes = new RouteTable(taken.rows);
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
    const verdict = judgeOutgoing(packet, length, this.#routes, this.config.mtu);
    if (verdict >= 0) return this.#sendOutgoing(verdict);
    this.#drop(verdict);
    if (verdict === NO_ROUTE) this.#answerDevice(NET_UNREACHABLE);
    else if (verdict === TTL_EXPIRED) this.#answerDevice(TIME_EXCEEDED);
    else if (verdict === TOO_BIG && dontFragment(packet)) this.#answerDevice(fragmentationNeeded(this.config.mtu));
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
    const { tunAddress } = this.config;
    const verdict = judgeIncoming(packet, length, sender, this.#routes, tunAddress, this.#filterPeers);
    if (verdict >= 0) {
      this.#deliver(totalLength(packet), sender);
    } else {
      this.#drop(verdict);
      if (verdict === TTL_EXPIRED) this.#answerPeer(TIME_EXCEEDED);
    }
    return true;
  }

  #sendOutgoing(row: number): boolean {
    const length = totalLength(this.#outgoing);
    const result = this.ports.send(this.#outgoing, length, this.#routes.peer(row));
    if (result === EAGAIN) {
      if (!this.stalled) this.#count('sendStalls', 1);
      this.#waiting = row;
      return false;
    }
    if (result === EINTR) {
      this.#waiting = row;
      return true;
    }
    this.#waiting = -1;
    if (result >= 0) {
      this.#count('sentPackets', 1);
      this.#count('sentBytes', length);
      this.#countPeer(this.#routes.slot(row) * PEER_STRIDE + SENT, length);
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
    if (error === EMSGSIZE && dontFragment(this.#outgoing)) {
      this.#answerDevice(fragmentationNeeded(Math.min(this.config.mtu, plateauBelow(length))));
    }
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
    const slot = this.#routes.peerSlot(sender);
    if (slot >= 0) this.#countPeer(slot * PEER_STRIDE + RECEIVED, length);
  }

  /** An ICMP error about the outgoing packet goes back through the device. */
  #answerDevice(error: IcmpError): void {
    const length = this.#writeIcmp(this.#outgoing, error);
    if (length > 0 && this.ports.writeTun(this.#icmp, length) >= 0) this.#count('icmpSent', 1);
  }

  /** An ICMP error about the incoming packet goes to the peer that has its source. */
  #answerPeer(error: IcmpError): void {
    const row = this.#routes.lookup(source(this.#incoming));
    if (row < 0) return;
    const length = this.#writeIcmp(this.#incoming, error);
    if (length > 0 && this.ports.send(this.#icmp, length, this.#routes.peer(row)) >= 0) this.#count('icmpSent', 1);
  }

  #writeIcmp(offender: Uint8Array, error: IcmpError): number {
    this.#identification = (this.#identification + 1) & 0xffff;
    const length = writeIcmpError(this.#icmp, offender, error, this.config.tunAddress, this.#identification);
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

  /** Rows have other numbers in a new table, and the peer that a packet waited for may be gone. */
  #rerouteWaiting(): void {
    this.#waiting = this.#routes.lookup(destination(this.#outgoing));
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

/** Errors that say that the descriptor is not what it was: nothing but a new engine helps. */
function isLost(error: number): boolean {
  return error === EBADF || error === EBADFD || error === ENOTSOCK || error === EFAULT;
}

function lost(attempt: string, error: number): EngineError {
  return new EngineError('DESCRIPTOR_LOST', `Cannot ${attempt} any more (${errnoName(-error)})`);
}
