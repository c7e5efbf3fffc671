import { type Header, headerOf } from '../header.ts';
import { IcmpWriter } from '../icmp.ts';
import type { OwnAddresses } from '../own-addresses.ts';
import type { RouterError } from '../router-error.ts';
import * as layout from './assembly/layout.ts';
import type { Ports } from './ports.ts';
import type { State } from './state.ts';
import type { Wasm } from './wasm.ts';

/** Sends ICMP errors. The packet that one is about is first copied to a fixed place in the memory. */
export class Answers {
  /** The offender, as far as an error may quote it. */
  readonly offender: Uint8Array;
  readonly #answer: Uint8Array;
  readonly #writer: IcmpWriter;

  constructor(
    readonly wasm: Wasm,
    readonly ports: Ports,
    readonly state: State,
    readonly own: OwnAddresses,
    readonly vnet: boolean,
    now: () => number,
  ) {
    this.offender = wasm.bytes.subarray(layout.OFFENDER, layout.OFFENDER + layout.OFFENDER_BYTES);
    this.#answer = wasm.bytes.subarray(layout.ANSWER, layout.ANSWER + layout.ANSWER_BYTES);
    this.#writer = new IcmpWriter(own, now, () => state.count('icmpSuppressed', 1));
  }

  /** Makes a packet in the memory the offender. */
  about(packet: number, length: number): void {
    this.wasm.bytes.copyWithin(layout.OFFENDER, packet, packet + Math.min(length, layout.OFFENDER_BYTES));
  }

  get mayFragment(): boolean {
    return this.#header.mayFragment(this.offender);
  }

  get #header(): Header {
    return headerOf(this.offender, this.offender.length, this.own.tunAddress6 !== undefined);
  }

  /** Answers the offender, which came from the device. */
  answerDevice(error: RouterError): void {
    const length = this.#writer.write(this.#answer, this.offender, error);
    if (length === 0) return;
    // The bytes before the answer are never anything but zero: an empty virtio header.
    const header = this.vnet ? layout.VNET_BYTES : 0;
    if (this.ports.writeTun(layout.ANSWER - header, header + length) >= 0) this.state.count('icmpSent', 1);
  }

  /** Answers the offender, which came from the socket, to the peer that has its source. */
  answerPeer(error: RouterError): void {
    const peer = this.#header.sourcePeer(this.offender, this.state.tables.routes);
    if (peer === 0) return;
    const length = this.#writer.write(this.#answer, this.offender, error);
    if (length === 0) return;
    this.state.tables.underlay.writeName(this.wasm.bytes, layout.ANSWER_NAME, peer);
    if (this.ports.sendTo(layout.ANSWER, length, layout.ANSWER_NAME) >= 0) this.state.count('icmpSent', 1);
  }
}
