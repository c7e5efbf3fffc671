import { tryRead, tryWrite } from '@flannel-ts/linux/files';
import { MSG_DONTWAIT, MSG_TRUNC, tryRecvFrom, trySendTo } from '@flannel-ts/linux/socket';
import { headerBytesOf, refuseOffloads } from '../device.ts';
import type { Ports } from './forwarder.ts';

/** The forwarder's ports on real descriptors: one system call per packet, nothing allocated. */
export function descriptorPorts(tunFd: number, socketFd: number, sourceFds: readonly number[] = []): Ports {
  const sockets = [socketFd, ...sourceFds];
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
    sources: sockets.length,
    readTun: (buffer) => withoutHeader(tryRead(tunFd, frameOf(buffer))),
    writeTun: (buffer, length) => withoutHeader(tryWrite(tunFd, frameOf(buffer), header + length)),
    receive: (buffer, from) => tryRecvFrom(socketFd, buffer, MSG_DONTWAIT | MSG_TRUNC, from),
    send: (source, buffer, length, to) => trySendTo(sockets[source]!, buffer, length, MSG_DONTWAIT, to),
  };
}
