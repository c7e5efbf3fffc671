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
import type { Ports } from './forwarder.ts';

/** The forwarder's ports on real descriptors: one system call per packet, nothing allocated. */
export function descriptorPorts(tunFd: number, socketFd: number, port: number): Ports {
  const from = new Uint8Array(16);
  const to = new Uint8Array(16);
  return {
    readTun: (buffer) => tryRead(tunFd, buffer),
    writeTun: (buffer, length) => tryWrite(tunFd, buffer, length),
    receive: (buffer) => tryRecvFrom(socketFd, buffer, MSG_DONTWAIT | MSG_TRUNC, from),
    sender: () => sockaddrInAddress(from) as Ipv4,
    send(buffer, length, peer) {
      setSockaddrIn(to, peer, port);
      return trySendTo(socketFd, buffer, length, MSG_DONTWAIT, to);
    },
  };
}
