import type { Ip } from '@flannel-ts/inet/ip';
import { ipOfSockaddr, sockaddrOf } from '@flannel-ts/linux/socket';
import type { Ports } from '../../src/datapath/tun/engine/reference/forwarder.ts';

const EAGAIN = -11;
/** Engines do not look at the port of a sender. */
const ANY_PORT = 40_000;

export interface Sent {
  readonly peer: Ip;
  readonly packet: Uint8Array;
  /** The number of the source port. */
  readonly source: number;
}

/** A device and a socket in memory: queues to read from, lists of what was written, and errors to give back. */
export class FakePorts implements Ports {
  readonly tun: (Uint8Array | number)[] = [];
  readonly socket: (readonly [Ip, Uint8Array] | number)[] = [];
  readonly written: Uint8Array[] = [];
  readonly sent: Sent[] = [];
  /** Results of the next sends and writes, before they succeed. */
  readonly sendErrors: number[] = [];
  readonly writeErrors: number[] = [];

  constructor(readonly sources = 1) {}

  readTun(buffer: Uint8Array): number {
    const next = this.tun.shift() ?? EAGAIN;
    return typeof next === 'number' ? next : copy(buffer, next);
  }

  writeTun(buffer: Uint8Array, length: number): number {
    const error = this.writeErrors.shift();
    if (error !== undefined) return error;
    this.written.push(buffer.slice(0, length));
    return length;
  }

  receive(buffer: Uint8Array, from: Uint8Array): number {
    const next = this.socket.shift() ?? EAGAIN;
    if (typeof next === 'number') return next;
    from.set(sockaddrOf(next[0], ANY_PORT));
    return copy(buffer, next[1]);
  }

  send(source: number, buffer: Uint8Array, length: number, to: Uint8Array): number {
    const error = this.sendErrors.shift();
    if (error !== undefined) return error;
    this.sent.push({ peer: ipOfSockaddr(to), packet: buffer.slice(0, length), source });
    return length;
  }
}

/** As MSG_TRUNC: the real length, though the buffer holds less. */
function copy(buffer: Uint8Array, bytes: Uint8Array): number {
  buffer.set(bytes.subarray(0, buffer.length));
  return bytes.length;
}
