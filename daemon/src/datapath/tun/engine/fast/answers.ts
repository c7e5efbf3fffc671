import { ipToBytes } from '@flannel-ts/inet/ip';
import { type IcmpError, NET_UNREACHABLE, RateLimit, TIME_EXCEEDED, writeIcmpError } from '../icmp.ts';
import { HOP_LIMIT_EXCEEDED, MIN_IPV6_MTU, NO_ROUTE_6, packetTooBig, writeIcmpError6 } from '../icmp6.ts';
import { dontFragment, source } from '../packet.ts';
import { IPV6_SOURCE } from '../packet6.ts';
import * as layout from './assembly/layout.ts';
import type { Ports } from './ports.ts';
import type { ForwarderConfig, State } from './state.ts';
import type { Wasm } from './wasm.ts';

// Linux's own limit for the whole machine (net.ipv4.icmp_msgs_per_sec and _burst).
const ICMP_PER_SECOND = 1000;
const ICMP_BURST = 50;

/** The ICMP errors of an engine. What they are about is first copied to a fixed place. */
export class Answers {
  /** The offender, as far as an error may quote it. */
  readonly offender: Uint8Array;
  readonly #answer: Uint8Array;
  readonly #limit: RateLimit;
  #identification = 0;
  readonly #from6: Uint8Array | undefined;

  constructor(
    readonly wasm: Wasm,
    readonly ports: Ports,
    readonly state: State,
    readonly config: ForwarderConfig,
    readonly vnet: boolean,
    readonly now: () => number,
  ) {
    this.offender = wasm.bytes.subarray(layout.OFFENDER, layout.OFFENDER + layout.OFFENDER_BYTES);
    this.#answer = wasm.bytes.subarray(layout.ANSWER, layout.ANSWER + layout.ANSWER_BYTES);
    this.#from6 = config.tunAddress6 === undefined ? undefined : ipToBytes(config.tunAddress6);
    this.#limit = new RateLimit(ICMP_PER_SECOND, ICMP_BURST, now());
  }

  /** Notes a packet in the memory as the offender. */
  about(packet: number, length: number): void {
    this.wasm.bytes.copyWithin(layout.OFFENDER, packet, packet + Math.min(length, layout.OFFENDER_BYTES));
  }

  /** Whether the offender must not be cut: by its own wish, or as a packet of IPv6. */
  get mayNotFragment(): boolean {
    return this.#isSix || dontFragment(this.offender);
  }

  /** It would not be here if IPv6 were off. */
  get #isSix(): boolean {
    return this.offender[0]! >>> 4 === 6;
  }

  /** Answers the offender, which came from the device. */
  answerDevice(error: IcmpError): void {
    const length = this.#write(error);
    if (length === 0) return;
    // The bytes before the answer are never anything but zero: an empty virtio header.
    const header = this.vnet ? layout.VNET_BYTES : 0;
    if (this.ports.writeTun(layout.ANSWER - header, header + length) >= 0) this.state.count('icmpSent', 1);
  }

  /** Answers the offender, which came from the socket, to the peer that has its source. */
  answerPeer(error: IcmpError): void {
    const peer = this.#isSix
      ? this.state.ownerOf6(this.offender, IPV6_SOURCE)
      : this.state.ownerOf(source(this.offender));
    if (peer === 0) return;
    const length = this.#write(error);
    if (length === 0) return;
    this.state.tables.underlay.writeName(this.wasm.bytes, layout.ANSWER_NAME, peer);
    if (this.ports.sendTo(layout.ANSWER, length, layout.ANSWER_NAME) >= 0) this.state.count('icmpSent', 1);
  }

  #write(error: IcmpError): number {
    this.#identification = (this.#identification + 1) & 0xffff;
    const length = this.#put(error);
    if (length === 0 || this.#limit.take(this.now())) return length;
    this.state.count('icmpSuppressed', 1);
    return 0;
  }

  #put(error: IcmpError): number {
    if (this.#isSix) return writeIcmpError6(this.#answer, this.offender, inIpv6(error), this.#from6!);
    const { tunAddress } = this.config;
    if (tunAddress === undefined) return 0;
    return writeIcmpError(this.#answer, this.offender, error, tunAddress, this.#identification);
  }
}

/** What says the same in ICMPv6. */
function inIpv6(error: IcmpError): IcmpError {
  if (error === NET_UNREACHABLE) return NO_ROUTE_6;
  if (error === TIME_EXCEEDED) return HOP_LIMIT_EXCEEDED;
  return packetTooBig(Math.max(error.mtu, MIN_IPV6_MTU));
}
