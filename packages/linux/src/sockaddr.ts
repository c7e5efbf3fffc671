import { type Ip, ipFromBytes, ipToBytes, isIpv6 } from '@flannel-ts/inet/ip';
import { AF_INET, AF_INET6, AF_NETLINK, AF_UNIX } from './socket-constants.ts';

export const SOCKADDR_IN_BYTES = 16;
/** Where its address is, in network order. */
export const SOCKADDR_IN_ADDRESS = 4;

/** `struct sockaddr_in` (16 bytes): the address is a uint32 in host order, as `Ipv4` of @flannel-ts/inet. */
export function sockaddrIn(ip: number, port: number): Uint8Array {
  const sockaddr = new Uint8Array(16);
  setSockaddrIn(sockaddr, ip, port);
  return sockaddr;
}

/** Fills an existing `struct sockaddr_in`, for loops that must not allocate. */
export function setSockaddrIn(sockaddr: Uint8Array, ip: number, port: number): void {
  sockaddr[0] = AF_INET; // sa_family_t is u16 in host order; both of our architectures are little-endian
  sockaddr[1] = 0;
  sockaddr[2] = port >>> 8;
  sockaddr[3] = port;
  sockaddr[4] = ip >>> 24;
  sockaddr[5] = ip >>> 16;
  sockaddr[6] = ip >>> 8;
  sockaddr[7] = ip;
}

/** `struct sockaddr_in6`, without flow and scope: for addresses that are no link's. */
export const SOCKADDR_IN6_BYTES = 28;
/** Where its address is, in network order. */
export const SOCKADDR_IN6_ADDRESS = 8;

export function sockaddrIn6(address: Uint8Array, port: number): Uint8Array {
  const sockaddr = new Uint8Array(SOCKADDR_IN6_BYTES);
  sockaddr[0] = AF_INET6;
  sockaddr[2] = port >>> 8;
  sockaddr[3] = port;
  sockaddr.set(address, SOCKADDR_IN6_ADDRESS);
  return sockaddr;
}

/** The sockaddr of an address of either family; port 0 where there is none. */
export function sockaddrOf(address: Ip, port: number): Uint8Array {
  return isIpv6(address) ? sockaddrIn6(ipToBytes(address), port) : sockaddrIn(address, port);
}

/** The address of a `struct sockaddr_in` or `sockaddr_in6`. */
export function ipOfSockaddr(sockaddr: Uint8Array): Ip {
  return sockaddrFamily(sockaddr) === AF_INET6
    ? ipFromBytes(6, sockaddr, SOCKADDR_IN6_ADDRESS)
    : ipFromBytes(4, sockaddr, SOCKADDR_IN_ADDRESS);
}

/** AF_INET or AF_INET6, of any sockaddr. */
export function sockaddrFamily(sockaddr: Uint8Array): number {
  return sockaddr[0]! | (sockaddr[1]! << 8);
}

/** The address of a `struct sockaddr_in`, uint32 in host order. */
export function sockaddrInAddress(sockaddr: Uint8Array): number {
  return ((sockaddr[4]! << 24) | (sockaddr[5]! << 16) | (sockaddr[6]! << 8) | sockaddr[7]!) >>> 0;
}

/** The port of a `struct sockaddr_in` or `sockaddr_in6`. */
export function sockaddrInPort(sockaddr: Uint8Array): number {
  return (sockaddr[2]! << 8) | sockaddr[3]!;
}

/** `struct sockaddr_un`; a leading @ stands for the zero byte of an abstract name (unix(7)). */
export function sockaddrUn(path: string): Uint8Array {
  const name = new TextEncoder().encode(path.startsWith('@') ? `\0${path.slice(1)}` : `${path}\0`);
  return Uint8Array.of(AF_UNIX, 0, ...name);
}

/** `struct sockaddr_nl` (12 bytes): the kernel's side is port id 0; `groups` is the mask of the old multicast groups. */
export function sockaddrNl(groups = 0, portId = 0): Uint8Array {
  const sockaddr = new Uint8Array(12);
  const fields = new DataView(sockaddr.buffer);
  fields.setUint16(0, AF_NETLINK, true);
  fields.setUint32(4, portId, true);
  fields.setUint32(8, groups, true);
  return sockaddr;
}
