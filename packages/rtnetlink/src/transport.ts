/** The descriptor under a netlink connection: whole datagrams in and out, and who sent them. */

import { withNetns } from '@flannel-ts/linux/enter-netns';
import { isErrno } from '@flannel-ts/linux/errors';
import { closeFd, type Fd } from '@flannel-ts/linux/files';
import {
  AF_NETLINK,
  bind,
  getSockName,
  MSG_PEEK,
  MSG_TRUNC,
  NETLINK_CAP_ACK,
  NETLINK_EXT_ACK,
  NETLINK_GET_STRICT_CHK,
  NETLINK_ROUTE,
  recvFrom,
  SO_RCVTIMEO,
  SOCK_RAW,
  SOL_NETLINK,
  sendTo,
  setSocketOption,
  setSocketTimeout,
  sockaddrNl,
  socket,
} from '@flannel-ts/linux/socket';
import { viewOf } from './attributes.ts';
import { NetlinkError } from './errors.ts';

/** netlink_recvmsg() fills dumps up to the largest buffer it has seen, 32 KiB at most; single replies may be longer. */
const RECEIVE_BUFFER_BYTES = 64 * 1024;
const DEFAULT_TIMEOUT_MS = 10_000;

export interface Datagram {
  readonly bytes: Uint8Array;
  /** Port id of the sender: 0 is the kernel. */
  readonly sender: number;
}

export interface Transport {
  send(bytes: Uint8Array): void;
  /** Blocks for the next datagram. `bytes` belongs to the caller. `operation` is what it answers, for the error. */
  receive(operation: string): Datagram;
  close(): void;
  /** By which the kernel knows this socket. */
  readonly portId: number;
}

export interface TransportOptions {
  /** NETLINK_ROUTE by default. */
  readonly protocol?: number | undefined;
  /** A path, or a descriptor of the caller's, which is only used while the connection is opened. */
  readonly netns?: string | Fd | undefined;
  readonly timeoutMs?: number | undefined;
  /** To begin with; it grows to the longest reply. */
  readonly receiveBufferBytes?: number | undefined;
}

/** A netlink socket with a port id of its own, opened in the namespace at `netns` and prepared by `prepare`. */
export function openNetlinkSocket(
  { netns, protocol = NETLINK_ROUTE }: Pick<TransportOptions, 'netns' | 'protocol'>,
  flags: number,
  prepare: (fd: Fd) => void,
): Fd {
  const open = (): Fd => socket(AF_NETLINK, SOCK_RAW | flags, protocol);
  const fd = netns === undefined ? open() : withNetns(netns, open);
  try {
    bind(fd, sockaddrNl());
    prepare(fd);
  } catch (error) {
    closeFd(fd);
    throw error;
  }
  return fd;
}

export function openTransport(options: TransportOptions): Transport {
  const fd = openNetlinkSocket(options, 0, (socketFd) => {
    setOptionIfKnown(socketFd, NETLINK_EXT_ACK); // Linux 4.12
    // Errors echo the header of the request only, not all of it.
    setOptionIfKnown(socketFd, NETLINK_CAP_ACK); // Linux 4.3
    // The kernel filters dumps and refuses what it does not know; before Linux 4.20 it ignores both, so that every list
    // filters once more.
    setOptionIfKnown(socketFd, NETLINK_GET_STRICT_CHK);
    setSocketTimeout(socketFd, SO_RCVTIMEO, options.timeoutMs ?? DEFAULT_TIMEOUT_MS);
  });
  return new SocketTransport(fd, options.receiveBufferBytes ?? RECEIVE_BUFFER_BYTES);
}

function setOptionIfKnown(fd: Fd, name: number): void {
  try {
    setSocketOption(fd, SOL_NETLINK, name, 1);
  } catch (error) {
    if (!isErrno(error, 'ENOPROTOOPT')) throw error;
  }
}

/** The port id in a `struct sockaddr_nl`. */
export function senderOf(sockaddr: Uint8Array): number {
  return viewOf(sockaddr).getUint32(4, true);
}

class SocketTransport implements Transport {
  #buffer: Uint8Array;
  readonly #source = sockaddrNl();
  readonly portId: number;

  constructor(
    private readonly fd: Fd,
    bufferBytes: number,
  ) {
    this.portId = senderOf(getSockName(fd));
    this.#buffer = new Uint8Array(bufferBytes);
  }

  send(bytes: Uint8Array): void {
    sendTo(this.fd, bytes, 0, sockaddrNl());
  }

  receive(operation: string): Datagram {
    const length = this.#receive(MSG_PEEK | MSG_TRUNC, operation);
    if (length > this.#buffer.length) this.#buffer = new Uint8Array(length);
    const received = this.#receive(MSG_TRUNC, operation);
    return { bytes: this.#buffer.slice(0, received), sender: senderOf(this.#source) };
  }

  close(): void {
    closeFd(this.fd);
  }

  #receive(flags: number, operation: string): number {
    try {
      return recvFrom(this.fd, this.#buffer, flags, this.#source);
    } catch (error) {
      if (isErrno(error, 'EAGAIN')) throw new NetlinkError('ETIMEDOUT', operation, 'the kernel did not answer in time');
      throw error;
    }
  }
}
