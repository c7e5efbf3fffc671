import { EAGAIN, EINTR, EMSGSIZE } from '@flannel-ts/linux/errno';
import { packetBuffer } from '../device.ts';
import type { EngineConfig } from '../engine.ts';
import { judgeIncoming, judgeOutgoing, largestPacket, largestPart } from '../forward.ts';
import { writeFragment } from '../fragment.ts';
import { type Header, headerOf } from '../header.ts';
import { IcmpWriter, MAX_ERROR } from '../icmp.ts';
import { headerLength } from '../ipv4-header.ts';
import { isLost, lost } from '../lost.ts';
import { type OwnAddresses, ownAddresses } from '../own-addresses.ts';
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
import { HOPS_EXCEEDED, NO_ROUTE_ERROR, plateauBelow, type RouterError, tooBig } from '../router-error.ts';
import { FIRST_DROP, PEER_FIELD, PEER_STRIDE, RECEIVED, SENT, type Shared, TOTAL, type TotalName } from '../shared.ts';
import { slotOf } from '../slots.ts';
import { sourceOf } from '../source-port.ts';
import { Tables } from '../tables.ts';
import type { Underlay } from '../underlay.ts';

/** Device and sockets; buffers for the device come from packetBuffer(). Each call returns a length or a negative errno; none blocks. */
export interface Ports {
  /** Sockets to send from, each with a source port. The first one is the one that receives. */
  readonly sources: number;
  readTun(buffer: Uint8Array): number;
  writeTun(buffer: Uint8Array, length: number): number;
  /** The datagram's real length, which may be more than the buffer holds; `from` becomes the name of its sender. */
  receive(buffer: Uint8Array, from: Uint8Array): number;
  send(source: number, buffer: Uint8Array, length: number, to: Uint8Array): number;
}

/** More than any IPv4 packet or datagram. */
const BUFFER_BYTES = 65536;

/** A socket that only ever answers with errors would keep a processor busy. */
const MAX_RECEIVE_FAILURES = 1000;

export type ForwarderConfig = Pick<EngineConfig, 'tunAddress' | 'tunAddress6' | 'mtu' | 'filterPeers'>;

/** One packet per call, in each direction. */
export class Forwarder {
  readonly #tables: Tables;
  readonly #filterPeers: boolean;
  readonly #own: OwnAddresses;
  readonly #outgoing = packetBuffer(BUFFER_BYTES);
  readonly #incoming = packetBuffer(BUFFER_BYTES);
  readonly #fragment = packetBuffer(BUFFER_BYTES);
  readonly #icmp = packetBuffer(MAX_ERROR);
  readonly #writer: IcmpWriter;
  readonly #from: Uint8Array;
  readonly #to: Uint8Array;
  /** The peer of the packet in #outgoing that waits for room in the socket, 0 when none waits. */
  #waiting = 0;
  /** The source port of the packet in #outgoing. */
  #source = 0;
  /** Bytes of its payload that were sent in fragments. */
  #fragmented = 0;
  /** In a row, without a datagram between them. */
  #receiveFailures = 0;

  constructor(
    readonly ports: Ports,
    readonly config: ForwarderConfig,
    readonly shared: Shared,
    readonly underlay: Underlay,
    readonly now: () => number,
  ) {
    this.#tables = new Tables(shared, underlay);
    this.#from = new Uint8Array(underlay.nameBytes);
    this.#to = new Uint8Array(underlay.nameBytes);
    this.#filterPeers = config.filterPeers ?? true;
    this.#own = ownAddresses(config);
    this.#writer = new IcmpWriter(this.#own, now, () => this.#count('icmpSuppressed', 1));
  }

  /** Whether a packet waits for room in the socket: then the device must not be polled, but the socket for POLLOUT. */
  get stalled(): boolean {
    return this.#waiting !== 0;
  }

  /** The number of the socket that it waits for. */
  get source(): number {
    return this.#source;
  }

  /** Applies announced changes of routes and peers, or some of them. */
  refreshRoutes(): void {
    if (this.#tables.refresh() && this.stalled) this.#rerouteWaiting();
  }

  /** Whether there is more to apply: then the thread must not sleep. */
  get hasChanges(): boolean {
    return this.#tables.pending;
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
    const header = this.#headerOf(packet, length);
    const verdict = judgeOutgoing(packet, length, header, this.#tables, this.config.mtu, this.#own);
    if (verdict >= 0) {
      this.#source = sourceOf(packet, header, this.ports.sources);
      return this.#sendOutgoing(verdict);
    }
    this.#drop(verdict);
    if (verdict === NO_ROUTE) this.#answerDevice(NO_ROUTE_ERROR);
    else if (verdict === TTL_EXPIRED) this.#answerDevice(HOPS_EXCEEDED);
    else if (verdict === TOO_BIG)
      this.#answerTooBig(this.#largestTo(header.destinationPeer(packet, this.#tables.routes)));
    return true;
  }

  /** Sends the packet that waits, and reads no more. False while the socket has no room for it. */
  finish(): boolean {
    return !this.stalled || (this.#sendOutgoing(this.#waiting) && !this.stalled);
  }

  /** Moves one packet from the socket to the device; false when there is none. */
  forwardIncoming(): boolean {
    const packet = this.#incoming;
    const length = this.ports.receive(packet, this.#from);
    if (length === EAGAIN || length === EINTR) return false;
    if (length < 0) return this.#receiveFailed(length);
    this.#receiveFailures = 0;
    this.#count('socketPackets', 1);
    this.#count('socketBytes', length);
    if (length > packet.length) {
      this.#drop(TRUNCATED);
      return true;
    }
    const sender = this.underlay.peerAt(this.#from, 0);
    const header = this.#headerOf(packet, length);
    const { routes } = this.#tables;
    const verdict = judgeIncoming(packet, length, header, sender, routes, this.#own, this.#filterPeers);
    if (verdict >= 0) {
      this.#deliver(header.totalLength(packet), sender);
    } else {
      this.#drop(verdict);
      if (verdict === TTL_EXPIRED) this.#answerPeer(HOPS_EXCEEDED);
    }
    return true;
  }

  #headerOf(packet: Uint8Array, length: number): Header {
    return headerOf(packet, length, this.#own.tunAddress6 !== undefined);
  }

  /** Of a packet whose header was checked. */
  #checkedHeader(packet: Uint8Array): Header {
    return this.#headerOf(packet, packet.length);
  }

  /** The largest packet in #outgoing's family that the path to a peer takes. */
  #largestTo(peer: number): number {
    const { family } = this.#checkedHeader(this.#outgoing);
    return largestPacket(this.#tables.pathLimit(peer), this.config.mtu, family);
  }

  /** In fragments where the path takes less. */
  #sendOutgoing(peer: number): boolean {
    const packet = this.#outgoing;
    const header = this.#checkedHeader(packet);
    const total = header.totalLength(packet);
    const largest = largestPart(this.#tables.pathLimit(peer), this.config.mtu, header.mayFragment(packet));
    if (total <= largest && this.#fragmented === 0) return this.#sendPart(packet, total, peer);
    const length = headerLength(packet);
    for (;;) {
      const payload = writeFragment(this.#fragment, packet, this.#fragmented, largest);
      const moved = this.#sendPart(this.#fragment, length + payload, peer);
      if (this.stalled) return moved;
      this.#fragmented += payload;
      if (length + this.#fragmented < total) continue;
      this.#fragmented = 0;
      return true;
    }
  }

  /** #outgoing or a fragment of it. */
  #sendPart(part: Uint8Array, length: number, peer: number): boolean {
    const result = this.#send(this.#source, part, length, peer);
    if (result === EAGAIN) {
      if (!this.stalled) this.#count('sendStalls', 1);
      this.#waiting = peer;
      return false;
    }
    if (result === EINTR) {
      this.#waiting = peer;
      return true;
    }
    this.#waiting = 0;
    if (result >= 0) {
      this.#count('sentPackets', 1);
      this.#count('sentBytes', length);
      this.#countPeer(peer, SENT, length);
      return true;
    }
    this.#sendFailed(peer, result, length);
    return true;
  }

  #send(source: number, packet: Uint8Array, length: number, peer: number): number {
    this.underlay.writeName(this.#to, 0, peer);
    return this.ports.send(source, packet, length, this.#to);
  }

  #sendFailed(peer: number, error: number, length: number): void {
    if (isLost(error)) throw lost('send on the UDP socket', error);
    this.#failure(error);
    this.shared.peers[slotOf(peer) * PEER_STRIDE + PEER_FIELD.lastErrno] = -error;
    this.#drop(error === EMSGSIZE ? TOO_BIG : SEND_FAILED);
    // Only a connected socket could ask the kernel for the path's MTU (IP_MTU): guess as hosts do in RFC 1191.
    if (error === EMSGSIZE) this.#answerTooBig(Math.min(this.config.mtu, plateauBelow(length)));
  }

  #deliver(length: number, sender: number): void {
    const result = this.ports.writeTun(this.#incoming, length);
    if (result < 0) {
      if (isLost(result)) throw lost('write to the TUN device', result);
      this.#failure(result);
      this.#drop(WRITE_FAILED);
      return;
    }
    this.#count('deliveredPackets', 1);
    this.#count('deliveredBytes', length);
    if (sender !== 0) this.#countPeer(sender, RECEIVED, length);
  }

  /** An ICMP error about the outgoing packet goes back through the device. */
  #answerDevice(error: RouterError): void {
    const length = this.#writer.write(this.#icmp, this.#outgoing, error);
    if (length > 0 && this.ports.writeTun(this.#icmp, length) >= 0) this.#count('icmpSent', 1);
  }

  #answerTooBig(mtu: number): void {
    if (this.#checkedHeader(this.#outgoing).mayFragment(this.#outgoing)) return;
    this.#answerDevice(tooBig(mtu));
  }

  /** An ICMP error about the incoming packet goes to the peer that has its source. */
  #answerPeer(error: RouterError): void {
    const packet = this.#incoming;
    const peer = this.#checkedHeader(packet).sourcePeer(packet, this.#tables.routes);
    if (peer === 0) return;
    const length = this.#writer.write(this.#icmp, packet, error);
    if (length > 0 && this.#send(0, this.#icmp, length, peer) >= 0) this.#count('icmpSent', 1);
  }

  /** Errors of earlier sends, such as ECONNREFUSED, also surface on receiving: the socket stays good. */
  #receiveFailed(error: number): boolean {
    if (isLost(error) || ++this.#receiveFailures > MAX_RECEIVE_FAILURES) throw lost('receive on the UDP socket', error);
    this.#failure(error);
    this.#count('receiveErrors', 1);
    return true;
  }

  /** The peer of the waiting packet may have left. */
  #rerouteWaiting(): void {
    const packet = this.#outgoing;
    this.#waiting = this.#checkedHeader(packet).destinationPeer(packet, this.#tables.routes);
    if (this.stalled) return;
    this.#fragmented = 0;
    this.#drop(NO_ROUTE);
  }

  #count(name: TotalName, by: number): void {
    this.shared.totals[TOTAL[name]]! += by;
  }

  /** `field` is SENT or RECEIVED, `peer` a present one. */
  #countPeer(peer: number, field: number, bytes: number): void {
    const at = slotOf(peer) * PEER_STRIDE + field;
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
