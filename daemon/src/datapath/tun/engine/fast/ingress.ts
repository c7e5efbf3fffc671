import { EAGAIN, EINTR, EINVAL } from '@flannel-ts/linux/errno';
import { isLost, lost } from '../lost.ts';
import { TRUNCATED, TTL_EXPIRED, type Verdict, WRITE_FAILED } from '../reasons.ts';
import { HOPS_EXCEEDED } from '../router-error.ts';
import { RECEIVED } from '../shared.ts';
import type { Answers } from './answers.ts';
import * as layout from './assembly/layout.ts';
import type { Ports } from './ports.ts';
import type { ForwarderConfig, State } from './state.ts';
import type { Wasm } from './wasm.ts';

/** A socket that only ever answers with errors would keep a processor busy. */
const MAX_RECEIVE_FAILURES = 1000;

const ENTRY_WORDS = layout.ENTRY_BYTES >>> 2;
const RECEIVED_WORDS = layout.RECEIVED_BYTES >>> 2;

export interface Merging {
  readonly tcp: boolean;
  readonly udp: boolean;
}

/** Socket -> device: one recvmmsg, a write per packet or merged packets. */
export class Ingress {
  /** In a row, without a datagram between them. */
  #receiveFailures = 0;

  constructor(
    readonly wasm: Wasm,
    readonly ports: Ports,
    readonly state: State,
    readonly answers: Answers,
    readonly config: ForwarderConfig,
    readonly vnet: boolean,
    merging: Merging,
  ) {
    this.setMerging(merging);
  }

  setMerging({ tcp, udp }: Merging): void {
    const verify = this.config.verifyChecksums ?? true;
    this.wasm.setMerging(this.vnet && tcp ? 1 : 0, this.vnet && udp ? 1 : 0, verify ? 1 : 0);
    this.state.setAbility('mergeTcp', this.vnet && tcp ? 1 : 0);
    this.state.setAbility('mergeUdp', this.vnet && udp ? 1 : 0);
  }

  /** Forwards what one call receives. True when the socket may have more without being polled. */
  forward(): boolean {
    const received = this.ports.receive(layout.SLOTS);
    if (received === EAGAIN || received === EINTR) return false;
    if (received < 0) return this.#receiveFailed(received);
    this.#receiveFailures = 0;
    this.wasm.readSlots(received);
    for (let slot = 0; slot < received; slot++) this.#merge(slot);
    this.flush();
    return received === layout.SLOTS;
  }

  #merge(slot: number): void {
    const { words } = this.wasm;
    const at = (layout.RECEIVED >>> 2) + slot * RECEIVED_WORDS;
    const length = words[at]!;
    const size = words[at + 1]!;
    const packets = size === 0 || length <= size ? 1 : Math.ceil(length / size);
    this.state.count('socketPackets', packets);
    this.state.count('socketBytes', length);
    if (words[at + 3] !== 0) this.state.drop(TRUNCATED, 1);
    else this.wasm.incoming(layout.RECEIVE_SLOTS + slot * layout.SLOT_STRIDE, length, size, words[at + 2]!);
  }

  /** Called from the module. */
  refuse(verdict: Verdict, packet: number, length: number): void {
    this.state.drop(verdict, 1);
    if (verdict !== TTL_EXPIRED) return;
    this.answers.about(packet, length);
    this.answers.answerPeer(HOPS_EXCEEDED);
  }

  /** Writes all entries. Called from the module, too, when it has no room for another. */
  flush(): void {
    const { wasm } = this;
    wasm.finishEntries();
    const count = wasm.entryCount();
    for (let entry = 0; entry < count; entry++) this.#write(entry);
    wasm.clearEntries();
  }

  #write(entry: number): void {
    const { words } = this.wasm;
    const at = (layout.ENTRIES >>> 2) + entry * ENTRY_WORDS;
    const packets = words[at + layout.ENTRY_COUNT / 4]!;
    const bytes = words[at + layout.ENTRY_PACKET_BYTES / 4]!;
    const sender = words[at + layout.ENTRY_SENDER / 4]!;
    const result = this.vnet
      ? this.ports.writeTunVector(
          layout.ENTRY_IOVECS + entry * layout.ENTRY_IOVECS_BYTES,
          words[at + layout.ENTRY_IOVEC_COUNT / 4]!,
        )
      : this.ports.writeTun(words[at + layout.ENTRY_FIRST / 4]!, bytes);
    if (result < 0) {
      this.#failed(entry, packets, sender, result);
      return;
    }
    if (packets > 1) this.state.count('mergedWrites', 1);
    this.#countDelivered(sender, packets, bytes);
  }

  #countDelivered(sender: number, packets: number, bytes: number): void {
    this.state.count('deliveredPackets', packets);
    this.state.count('deliveredBytes', bytes);
    this.state.countPeer(sender, RECEIVED, packets, bytes);
  }

  #failed(entry: number, packets: number, sender: number, error: number): void {
    if (isLost(error)) throw lost('write to the TUN device', error);
    if (packets > 1 && error === EINVAL) {
      this.#replay(entry, packets, sender);
      return;
    }
    this.state.failure(error);
    this.state.drop(WRITE_FAILED, packets);
  }

  /** Kernels 6.6.44 and 6.10 refuse some super-packets whose last part is short: the packets go as they came, from now on. */
  #replay(entry: number, packets: number, sender: number): void {
    this.state.failure(EINVAL);
    this.setMerging({ tcp: false, udp: false });
    this.state.count('offloadFallbacks', 1);
    for (let packet = 0; packet < packets; packet++) {
      const length = this.wasm.preparePacket(entry, packet);
      const result = this.ports.writeTunVector(layout.SPARE_IOVECS, 2);
      if (result >= 0) this.#countDelivered(sender, 1, length);
      else this.#failed(entry, 1, sender, result);
    }
  }

  /** Errors of earlier sends, such as ECONNREFUSED, also surface on receiving: the socket stays good. */
  #receiveFailed(error: number): boolean {
    if (isLost(error) || ++this.#receiveFailures > MAX_RECEIVE_FAILURES) throw lost('receive on the UDP socket', error);
    this.state.failure(error);
    this.state.count('receiveErrors', 1);
    return true;
  }
}
