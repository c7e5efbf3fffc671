import { type Ip, isIpv6 } from '@flannel-ts/inet/ip';
import type { Port } from '@flannel-ts/inet/port';
import { closeFd, type Fd } from '@flannel-ts/linux/files';
import {
  AF_INET,
  AF_INET6,
  bind,
  SO_RCVBUFFORCE,
  SO_REUSEPORT,
  SO_SNDBUFFORCE,
  SOCK_DGRAM,
  SOL_SOCKET,
  setSocketOption,
  socket,
} from '@flannel-ts/linux/socket';
import { sockaddrOf } from './underlay.ts';

/** Bursts of some thousand packets; as much as wireguard-go asks for. The kernel counts its overhead in, too. */
const SOCKET_BUFFER_BYTES = 7 * 1024 * 1024;

/**
 * The socket of an engine, bound to the address that peers know this node by. The caller closes it. `shared`: others of the
 * same port are there or may come, and the kernel spreads peers over them (socket(7), SO_REUSEPORT).
 */
export function openEngineSocket(listen: Ip, port: Port, { shared = false } = {}): Fd {
  const fd = socket(isIpv6(listen) ? AF_INET6 : AF_INET, SOCK_DGRAM);
  try {
    if (shared) setSocketOption(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    for (const option of [SO_RCVBUFFORCE, SO_SNDBUFFORCE]) setSocketOption(fd, SOL_SOCKET, option, SOCKET_BUFFER_BYTES);
    bind(fd, sockaddrOf(listen, port));
    return fd;
  } catch (error) {
    closeFd(fd);
    throw error;
  }
}
