import { EAGAIN, EINTR, EINVAL, EIO, EMSGSIZE } from '@flannel-ts/linux/errno';
import { isLost, lost } from '../lost.ts';
import { NO_ROUTE, SEND_FAILED, TOO_BIG, TTL_EXPIRED, type Verdict } from '../reasons.ts';
import { HOPS_EXCEEDED, NO_ROUTE_ERROR, plateauBelow, tooBig } from '../router-error.ts';
import { SENT } from '../shared.ts';
import type { Answers } from './answers.ts';
import * as layout from './assembly/layout.ts';
import type { Ports } from './ports.ts';
import type { ForwarderConfig, State } from './state.ts';
import type { Wasm } from './wasm.ts';

/** Reads before the batch is sent: enough to fill a message, few enough not to delay the first packet. */
const MAX_READS = 64;
/** A batch of this size stays in the processor's second-level cache. */
const BATCH_BYTES = 256 * 1024;

const FACTS_WORDS = layout.MESSAGE_FACTS_BYTES >>> 2;
const SEGMENT_WORDS = layout.SEGMENT_BYTES >>> 2;

const NONE = -1;

/** Of a message: its first segment, their number, bytes, peer. */
type Facts = readonly [number, number, number, number];

/** Device -> sockets: a batch of reads, one sendmmsg for each source port. */
export class Egress {
  /** The source port whose plan is sent. */
  #source = 0;
  /** Messages of its plan that were sent. */
  #sent = 0;
  /** A packet that found no room in the plan, 0 for none. */
  #held = 0;
  #heldLength = 0;
  #stalled = false;
  /** The next segment of a refused message that is sent one by one; NONE if there is no such message. */
  #replaying = NONE;
  /** The errno with which that message was refused, until it is recorded; else 0. */
  #refusal = 0;

  constructor(
    readonly wasm: Wasm,
    readonly ports: Ports,
    readonly state: State,
    readonly answers: Answers,
    readonly config: ForwarderConfig,
    readonly vnet: boolean,
    segmenting: boolean,
  ) {
    wasm.setSending(segmenting ? layout.MAX_MERGED : 1, ports.sources);
  }

  /** Whether messages wait for room in a socket: then the device must not be polled, but that socket for POLLOUT. */
  get stalled(): boolean {
    return this.#stalled;
  }

  /** The number of that socket. */
  get source(): number {
    return this.#source;
  }

  /** Forwards a batch. True when the device may have more without being polled. */
  forward(): boolean {
    if (this.#stalled && !this.#flush()) return false;
    if (this.state.paths.retry()) this.wasm.forgetRoutes();
    let cursor = layout.ARENA;
    if (this.#held !== 0) {
      const packet = this.#held;
      this.#held = 0;
      this.#plan(packet, this.#heldLength);
      cursor = packet + this.#heldLength;
    }
    const more = this.#readBatch(cursor);
    this.#flush();
    return more || this.#held !== 0;
  }

  /** Sends what has been read, and reads no more. False while a socket has no room for it. */
  finish(): boolean {
    if (!this.#flush()) return false;
    if (this.#held === 0) return true;
    const packet = this.#held;
    this.#held = 0;
    this.#plan(packet, this.#heldLength);
    return this.#flush();
  }

  /** The peers changed: drops the waiting message if its peer has left. */
  rerouteWaiting(): void {
    if (!this.#stalled) return;
    const { words } = this.wasm;
    const facts = this.#factsOf(this.#sent);
    if (this.state.tables.underlay.has(words[facts + 3]!)) return;
    const replayed = this.#replaying === NONE ? 0 : this.#replaying - words[facts]!;
    this.state.drop(NO_ROUTE, words[facts + 1]! - replayed);
    this.#replaying = NONE;
    this.#sent++;
  }

  #readBatch(start: number): boolean {
    const header = this.vnet ? layout.VNET_BYTES : 0;
    const end = layout.ARENA + layout.ARENA_BYTES - layout.MAX_READ - 32;
    const full = layout.ARENA + BATCH_BYTES;
    let cursor = start;
    for (let reads = 0; reads < MAX_READS; reads++) {
      if (cursor > end || cursor > full) return true;
      const packet = ((cursor + 15) & ~15) + 16;
      const length = this.ports.readTun(packet - header, header + 65535);
      if (length === EAGAIN || length === EINTR) return false;
      if (length < 0) throw lost('read from the TUN device', length);
      if (length < header) continue;
      cursor = packet + length - header;
      if (!this.#plan(packet, length - header)) return true;
    }
    return true;
  }

  /** False when the plan must be sent first. */
  #plan(packet: number, length: number): boolean {
    const { wasm, state } = this;
    const verdict = wasm.outgoing(packet, length, this.vnet ? 1 : 0);
    if (verdict === layout.PLAN_FULL) {
      this.#held = packet;
      this.#heldLength = length;
      return false;
    }
    const packets = wasm.outgoingPackets();
    state.count('tunPackets', packets);
    state.count('tunBytes', wasm.outgoingBytes());
    if (packets > 1) state.count('superPackets', 1);
    if (verdict < 0) this.#refuse(verdict, packet, length, packets);
    return true;
  }

  #refuse(verdict: Verdict, packet: number, length: number, packets: number): void {
    this.state.drop(verdict, packets);
    if (verdict !== NO_ROUTE && verdict !== TTL_EXPIRED && verdict !== TOO_BIG) return;
    const { answers } = this;
    answers.about(packet, length);
    if (verdict === NO_ROUTE) answers.answerDevice(NO_ROUTE_ERROR);
    else if (verdict === TTL_EXPIRED) answers.answerDevice(HOPS_EXCEEDED);
    // The module has just looked up the path to this peer.
    else if (!answers.mayFragment) {
      answers.answerDevice(tooBig(this.wasm.words[layout.TARGET_LIMIT >>> 2]!));
    }
  }

  /** Sends what is planned; false when a socket has no room for all of it. */
  #flush(): boolean {
    const { wasm, ports } = this;
    for (; this.#source < ports.sources; this.#source++) {
      wasm.selectPlan(this.#source);
      if (!this.#sendPlan(wasm.messageCount())) return this.#stall();
      this.#sent = 0;
    }
    wasm.clearPlans();
    this.#source = 0;
    this.#stalled = false;
    return true;
  }

  /** The plan of the present source port; false when its socket has no room for all of it. */
  #sendPlan(count: number): boolean {
    const { ports } = this;
    while (this.#sent < count) {
      if (this.#replaying !== NONE) {
        if (!this.#replay(this.#sent)) return false;
        this.#replaying = NONE;
        this.#sent++;
        continue;
      }
      const result = ports.send(this.#source, this.#sent, count - this.#sent);
      if (result > 0) {
        for (let i = 0; i < result; i++) this.#countSent(this.#sent + i);
        this.#sent += result;
      } else if (result === EAGAIN) {
        return false;
      } else if (result !== EINTR) {
        this.#failed(this.#sent, result);
      }
    }
    return true;
  }

  #stall(): false {
    if (!this.#stalled) this.state.count('sendStalls', 1);
    this.#stalled = true;
    return false;
  }

  #countSent(message: number): void {
    const { words } = this.wasm;
    const facts = this.#factsOf(message);
    const packets = words[facts + 1]!;
    const bytes = words[facts + 2]!;
    this.state.count('sentPackets', packets);
    this.state.count('sentBytes', bytes);
    if (packets > 1) this.state.count('segmentedSends', 1);
    this.state.countPeer(words[facts + 3]!, SENT, packets, bytes);
  }

  /** Drops a refused message, or arranges for its segments to be sent one by one. */
  #failed(message: number, error: number): void {
    if (isLost(error)) throw lost('send on the UDP socket', error);
    const { words } = this.wasm;
    const facts = this.#factsOf(message);
    const first = words[facts]!;
    const packets = words[facts + 1]!;
    const peer = words[facts + 3]!;
    if (packets > 1 && (error === EIO || error === EINVAL || error === EMSGSIZE)) {
      this.#replaying = first;
      this.#refusal = error;
      return;
    }
    for (let i = 0; i < packets; i++) this.#lose(first + i, peer, error);
    this.#sent++;
  }

  /**
   * The kernel or the interface cannot segment this message (EIO without checksum offload before Linux 6.11), or the path's MTU is
   * too small for its packets, which the kernel then fragments one by one. False when the socket has no room for all of them.
   */
  #replay(message: number): boolean {
    const [first, packets, , peer] = this.wasm.words.subarray(this.#factsOf(message)) as unknown as Facts;
    while (this.#replaying < first + packets) {
      const length = this.wasm.prepareSingle(this.#replaying, message);
      const result = this.ports.sendOne(this.#source, layout.SPARE_MESSAGE);
      if (result === EAGAIN) return false;
      if (result === EINTR) continue;
      if (result >= 0) this.#countReplayed(peer, this.#sizeOf(first), length);
      else this.#lose(this.#replaying, peer, result);
      this.#replaying++;
    }
    return true;
  }

  /** `size` is that of the segments of the refused message. */
  #countReplayed(peer: number, size: number, length: number): void {
    this.state.count('sentPackets', 1);
    this.state.count('sentBytes', length);
    this.state.countPeer(peer, SENT, 1, length);
    if (this.#refusal === 0) return;
    // A single segment was accepted: it was the segmentation that was refused.
    this.state.paths.segmentsRefused(peer, size, this.#refusal);
    this.wasm.forgetRoutes();
    this.#refusal = 0;
  }

  #sizeOf(segment: number): number {
    return this.wasm.words[this.#inPlan(layout.SEGMENTS) + segment * SEGMENT_WORDS + 2]!;
  }

  #factsOf(message: number): number {
    return this.#inPlan(layout.MESSAGE_FACTS) + message * FACTS_WORDS;
  }

  /** The index of the word at an offset from the start of the present plan. */
  #inPlan(offset: number): number {
    return (layout.PLANS + this.#source * layout.PLAN_STRIDE + offset) >>> 2;
  }

  #lose(segment: number, peer: number, error: number): void {
    if (isLost(error)) throw lost('send on the UDP socket', error);
    this.state.failure(error);
    this.state.paths.sendFailed(peer, error);
    this.state.drop(error === EMSGSIZE ? TOO_BIG : SEND_FAILED, 1);
    if (error !== EMSGSIZE) return;
    this.wasm.copySegment(segment, layout.OFFENDER, layout.OFFENDER_BYTES);
    if (this.answers.mayFragment) return;
    // Only a connected socket could ask the kernel for the path's MTU (IP_MTU): guess as hosts do in RFC 1191.
    this.answers.answerDevice(tooBig(Math.min(this.config.mtu, plateauBelow(this.#sizeOf(segment)))));
  }
}
