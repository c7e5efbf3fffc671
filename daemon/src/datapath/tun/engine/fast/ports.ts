import { tryReadAt, tryWriteAt, tryWritev } from '@flannel-ts/linux/files';
import { MSG_DONTWAIT, tryRecvmmsg, trySendmmsg, trySendmsg, trySendToAt } from '@flannel-ts/linux/socket';
import * as layout from './assembly/layout.ts';
import type { Wasm } from './wasm.ts';

/** Device and sockets, by offsets in the memory. Each call returns a length or count, or a negative errno; none blocks. */
export interface Ports {
  /** Sockets to send from, each with a source port. The first one is the one that receives. */
  readonly sources: number;
  readTun(at: number, length: number): number;
  writeTun(at: number, length: number): number;
  writeTunVector(iovecs: number, count: number): number;
  /** Messages of the plan of `source` from number `first` on. */
  send(source: number, first: number, count: number): number;
  /** One message of the plan, or the spare one. */
  sendOne(source: number, message: number): number;
  /** From the first socket to `name`, the offset of a sockaddr. */
  sendTo(at: number, length: number, name: number): number;
  /** Into the first `count` slots. */
  receive(count: number): number;
}

export interface Descriptors {
  readonly tunFd: number;
  readonly socketFd: number;
  readonly sourceFds?: readonly number[];
}

export function descriptorPorts(
  wasm: Wasm,
  { tunFd, socketFd, sourceFds = [] }: Descriptors,
  nameBytes: number,
): Ports {
  const { base } = wasm;
  const sockets = [socketFd, ...sourceFds];
  const slots = base + layout.RECEIVE_MESSAGES;
  const message = (source: number, index: number): number =>
    base + layout.PLANS + source * layout.PLAN_STRIDE + layout.MESSAGES + index * layout.MMSGHDR_BYTES;
  return {
    sources: sockets.length,
    readTun: (at, length) => tryReadAt(tunFd, base + at, length),
    writeTun: (at, length) => tryWriteAt(tunFd, base + at, length),
    writeTunVector: (iovecs, count) => tryWritev(tunFd, base + iovecs, count),
    send: (source, first, count) => trySendmmsg(sockets[source]!, message(source, first), count, MSG_DONTWAIT),
    sendOne: (source, index) => trySendmsg(sockets[source]!, message(source, index), MSG_DONTWAIT),
    sendTo: (at, length, name) => trySendToAt(socketFd, base + at, length, MSG_DONTWAIT, base + name, nameBytes),
    receive: (count) => tryRecvmmsg(socketFd, slots, count, MSG_DONTWAIT),
  };
}
