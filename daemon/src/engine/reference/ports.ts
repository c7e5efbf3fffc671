import type { Ipv4 } from '@flannel-ts/inet/ipv4';
import { tryRead, tryWrite } from '@flannel-ts/linux/files';
import {
  MSG_DONTWAIT,
  MSG_TRUNC,
  setSockaddrIn,
  sockaddrInAddress,
  tryRecvFrom,
  trySendTo,
} from '@flannel-ts/linux/socket';
import { headerBytesOf, refuseOffloads } from '../device.ts';
import type { Ports } from './forwarder.ts';

/** The forwarder's ports on real descriptors: one system call per packet, nothing allocated. */
export function descriptorPorts(tunFd: number, socketFd: number, port: number): Ports {
  const from = new Uint8Array(16);
  const to = new Uint8Array(16);
  const header = headerBytesOf(tunFd);
  if (header > 0) refuseOffloads(tunFd);
  const frames = new Map<Uint8Array, Uint8Array>();
  /** The buffer and the bytes of the virtio header before it, which without offloads are always zero. */
  const frameOf = (buffer: Uint8Array): Uint8Array => {
    let frame = frames.get(buffer);
    if (frame === undefined) {
      frame = new Uint8Array(buffer.buffer, buffer.byteOffset - header, header + buffer.length);
      frames.set(buffer, frame);
    }
    return frame;
  };
  /** An errno stays what it is. */
  const withoutHeader = (result: number): number => (result < 0 ? result : result - header);
  return {
    readTun: (buffer) => withoutHeader(tryRead(tunFd, frameOf(buffer))),
    writeTun: (buffer, length) => withoutHeader(tryWrite(tunFd, frameOf(buffer), header + length)),
    receive: (buffer) => tryRecvFrom(socketFd, buffer, MSG_DONTWAIT | MSG_TRUNC, from),
    sender: () => sockaddrInAddress(from) as Ipv4,
    send(buffer, length, peer) {
      setSockaddrIn(to, peer, port);
      return trySendTo(socketFd, buffer, length, MSG_DONTWAIT, to);
    },
  };
}
