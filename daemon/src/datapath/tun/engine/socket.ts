import { type Ip, isIpv6 } from '@flannel-ts/inet/ip';
import type { Port } from '@flannel-ts/inet/port';
import { closeFd, type Fd } from '@flannel-ts/linux/files';
import {
  AF_INET,
  AF_INET6,
  bind,
  refuseInput,
  SO_RCVBUFFORCE,
  SO_REUSEPORT,
  SO_SNDBUFFORCE,
  SOCK_DGRAM,
  SOL_SOCKET,
  setSocketOption,
  sockaddrOf,
  socket,
} from '@flannel-ts/linux/socket';

/** Room for bursts of some thousand packets, as in wireguard-go. The kernel counts its overhead, too. */
const SOCKET_BUFFER_BYTES = 7 * 1024 * 1024;

/**
 * Room for what peers send while no engine reads, as one takes over from another: the windows of a few fast TCP streams, with the
 * kernel's overhead for each packet. Not for good: an engine that is too slow would make packets wait instead of dropping some.
 */
const WAITING_BYTES = 48 * 1024 * 1024;

/** Until the next call, packets that come may wait. */
export function setWaitingRoom(fd: Fd, isWaiting: boolean): void {
  setSocketOption(fd, SOL_SOCKET, SO_RCVBUFFORCE, isWaiting ? WAITING_BYTES : SOCKET_BUFFER_BYTES);
}

/**
 * The socket of an engine, bound to the address by which peers know this node. The caller closes it. With `shared` several sockets
 * can have the port, and the kernel spreads peers over them (socket(7), SO_REUSEPORT).
 *
 * IP_MTU_DISCOVER keeps its default (IP_PMTUDISC_WANT unless net.ipv4.ip_no_pmtu_disc says otherwise), as in flannel: the kernel
 * learns the MTU of each path and fragments datagrams that are larger.
 */
export function openEngineSocket(listen: Ip, port: Port, { shared = false } = {}): Fd {
  return boundSocket(listen, port, (fd) => {
    if (shared) setSocketOption(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    for (const option of [SO_RCVBUFFORCE, SO_SNDBUFFORCE]) setSocketOption(fd, SOL_SOCKET, option, SOCKET_BUFFER_BYTES);
  });
}

/** A socket of the same address to send from only, with a port that the kernel chooses. The caller closes it. */
export function openSourceSocket(listen: Ip): Fd {
  return boundSocket(listen, 0, (fd) => {
    refuseInput(fd);
    setSocketOption(fd, SOL_SOCKET, SO_SNDBUFFORCE, SOCKET_BUFFER_BYTES);
  });
}

function boundSocket(address: Ip, port: number, prepare: (fd: Fd) => void): Fd {
  const fd = socket(isIpv6(address) ? AF_INET6 : AF_INET, SOCK_DGRAM);
  try {
    prepare(fd);
    bind(fd, sockaddrOf(address, port));
    return fd;
  } catch (error) {
    closeFd(fd);
    throw error;
  }
}
