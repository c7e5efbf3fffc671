import type { Ip } from '@flannel-ts/inet/ip';
import { EAGAIN } from '@flannel-ts/linux/errno';
import { ipOfSockaddr, sockaddrOf } from '@flannel-ts/linux/socket';
import * as layout from '../../../src/datapath/tun/engine/fast/assembly/layout.ts';
import type { Ports } from '../../../src/datapath/tun/engine/fast/ports.ts';
import type { Wasm } from '../../../src/datapath/tun/engine/fast/wasm.ts';

/** Engines do not look at the port of a sender. */
const ANY_PORT = 40_000;

export interface Datagram {
  readonly peer: Ip;
  readonly packet: Uint8Array;
  /** The number of the source port. */
  readonly source: number;
}

/** A received message: what UDP_GRO put together, and the size of its parts (0: a single datagram). */
export interface Message {
  readonly sender: Ip;
  readonly bytes: Uint8Array;
  readonly size: number;
}

/**
 * A device and a socket in memory, below the fast engine. Reads and writes the engine's own structures as the kernel does:
 * msghdr, iovec, cmsg. Writes of the device are kept with their virtio header.
 */
export class MemoryPorts implements Ports {
  readonly tun: Uint8Array[] = [];
  readonly socket: Message[] = [];
  readonly written: Uint8Array[] = [];
  readonly sent: Datagram[] = [];
  /** Number of packets of each message sent. */
  readonly messages: number[] = [];
  /** Errors of the next calls of send or sendOne (more than 0: none, this one succeeds), and of writes. */
  readonly sendErrors: number[] = [];
  readonly writeErrors: number[] = [];
  readonly #view: DataView;

  constructor(
    readonly wasm: Wasm,
    readonly sources = 1,
  ) {
    this.#view = new DataView(wasm.bytes.buffer);
  }

  readTun(at: number, length: number): number {
    const next = this.tun.shift();
    if (next === undefined) return EAGAIN;
    this.wasm.bytes.set(next.subarray(0, length), at);
    return Math.min(length, next.length);
  }

  writeTun(at: number, length: number): number {
    return this.#write(this.wasm.bytes.slice(at, at + length));
  }

  writeTunVector(iovecs: number, count: number): number {
    return this.#write(this.#gather(iovecs, count));
  }

  send(source: number, first: number, count: number): number {
    const error = this.sendErrors.shift() ?? 1;
    if (error < 0) return error;
    for (let i = 0; i < count; i++) this.#sendMessage(source, first + i);
    return count;
  }

  sendOne(source: number, message: number): number {
    const error = this.sendErrors.shift() ?? 1;
    return error < 0 ? error : this.#sendMessage(source, message);
  }

  sendTo(at: number, length: number, name: number): number {
    this.sent.push({ peer: this.#address(name), packet: this.wasm.bytes.slice(at, at + length), source: 0 });
    return length;
  }

  receive(count: number): number {
    if (this.socket.length === 0) return EAGAIN;
    const taken = this.socket.splice(0, count);
    for (const [slot, message] of taken.entries()) this.#fill(slot, message);
    return taken.length;
  }

  #write(bytes: Uint8Array): number {
    const error = this.writeErrors.shift();
    if (error !== undefined) return error;
    this.written.push(bytes);
    return bytes.length;
  }

  #sendMessage(source: number, index: number): number {
    const at = layout.PLANS + source * layout.PLAN_STRIDE + layout.MESSAGES + index * layout.MMSGHDR_BYTES;
    const bytes = this.#gather(this.#offset(at + 16), this.#number(at + 24));
    const peer = this.#address(this.#offset(at));
    const hasControl = this.#number(at + 40) !== 0;
    const size = hasControl ? this.#view.getUint16(this.#offset(at + 32) + 16, true) : bytes.length;
    let packets = 0;
    for (let part = 0; part < bytes.length; part += size, packets++) {
      this.sent.push({ peer, packet: bytes.slice(part, part + size), source });
    }
    this.messages.push(packets);
    return bytes.length;
  }

  #fill(slot: number, { sender, bytes, size }: Message): void {
    const message = layout.RECEIVE_MESSAGES + slot * layout.MMSGHDR_BYTES;
    const control = layout.RECEIVE_CONTROLS + slot * layout.CONTROL_BYTES;
    const view = this.#view;
    this.wasm.bytes.set(bytes, this.#offset(this.#offset(message + 16)));
    this.wasm.bytes.set(sockaddrOf(sender, ANY_PORT), this.#offset(message));
    view.setUint32(message + 56, bytes.length, true);
    view.setUint32(message + 40, size === 0 ? 0 : 24, true);
    if (size === 0) return;
    view.setUint32(control + 8, 17, true);
    view.setUint32(control + 12, 104, true);
    view.setUint32(control + 16, size, true);
  }

  /** Of a sockaddr. */
  #address(name: number): Ip {
    return ipOfSockaddr(this.wasm.bytes.subarray(name, name + layout.NAME_STRIDE));
  }

  #gather(iovecs: number, count: number): Uint8Array {
    const parts: Uint8Array[] = [];
    for (let i = 0; i < count; i++) {
      const iovec = iovecs + i * layout.IOVEC_BYTES;
      const at = this.#offset(iovec);
      parts.push(this.wasm.bytes.subarray(at, at + this.#number(iovec + 8)));
    }
    return Uint8Array.from(Buffer.concat(parts));
  }

  /** A pointer in the memory, as an offset. */
  #offset(at: number): number {
    return this.#number(at) - this.wasm.base;
  }

  #number(at: number): number {
    return Number(this.#view.getBigUint64(at, true));
  }
}
