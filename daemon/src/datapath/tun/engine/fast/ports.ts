import { tryReadAt, tryWriteAt, tryWritev } from '@flannel-ts/linux/files';
import { MSG_DONTWAIT, tryRecvmmsg, trySendmmsg, trySendmsg, trySendToAt } from '@flannel-ts/linux/socket';
import * as layout from './assembly/layout.ts';
import type { Wasm } from './wasm.ts';

/** Device and socket, by offsets in the memory. Each call returns a length or count, or a negative errno; none blocks. */
export interface Ports {
  readTun(at: number, length: number): number;
  writeTun(at: number, length: number): number;
  writeTunVector(iovecs: number, count: number): number;
  /** Messages of the plan from number `first` on. */
  send(first: number, count: number): number;
  /** One message of the plan, or the spare one. */
  sendOne(message: number): number;
  /** To `name`, the offset of a sockaddr. */
  sendTo(at: number, length: number, name: number): number;
  /** Into the first `count` slots. */
  receive(count: number): number;
}

export function descriptorPorts(wasm: Wasm, tunFd: number, socketFd: number, nameBytes: number): Ports {
  const { base } = wasm;
  const messages = base + layout.MESSAGES;
  const slots = base + layout.RECEIVE_MESSAGES;
  return {
    readTun: (at, length) => tryReadAt(tunFd, base + at, length),
    writeTun: (at, length) => tryWriteAt(tunFd, base + at, length),
    writeTunVector: (iovecs, count) => tryWritev(tunFd, base + iovecs, count),
    send: (first, count) => trySendmmsg(socketFd, messages + first * layout.MMSGHDR_BYTES, count, MSG_DONTWAIT),
    sendOne: (message) => trySendmsg(socketFd, messages + message * layout.MMSGHDR_BYTES, MSG_DONTWAIT),
    sendTo: (at, length, name) => trySendToAt(socketFd, base + at, length, MSG_DONTWAIT, base + name, nameBytes),
    receive: (count) => tryRecvmmsg(socketFd, slots, count, MSG_DONTWAIT),
  };
}
