/** Raw sockets for echo messages, one for each family: opened when the device has its address, read without waiting. */
import type { Family } from '@flannel-ts/inet/family';
import type { Ip } from '@flannel-ts/inet/ip';
import { milliseconds, realTime } from '@flannel-ts/linux/clock';
import { closeFd, type Fd, ioctl } from '@flannel-ts/linux/files';
import {
  AF_INET,
  AF_INET6,
  bind,
  ICMP_FILTER,
  ICMPV6_FILTER,
  IP_MTU_DISCOVER,
  IP_PMTUDISC_PROBE,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPV6_MTU_DISCOVER,
  ipOfSockaddr,
  MSG_DONTWAIT,
  SOCK_RAW,
  SOCKADDR_IN6_BYTES,
  SOL_ICMPV6,
  SOL_RAW,
  sendTo,
  setSocketOption,
  sockaddrOf,
  socket,
  tryRecvFrom,
} from '@flannel-ts/linux/socket';
import { type Answer, decodeAnswer, TYPES } from './echo.ts';

export interface Reply extends Answer {
  readonly from: Ip;
  /** How long ago the kernel received it. */
  readonly ageMs: number;
}

/** asm-generic/sockios.h, SIOCGSTAMPNS_OLD: a timespec of two words of 64 bits. The first call turns time stamps on. */
const SIOCGSTAMPNS = 0x8907;

/** By which the prober asks: a socket of the kernel's, or what is one for it. */
export interface EchoPort {
  send(target: Ip, message: Uint8Array): void;
  /** The next reply that has arrived, whoever asked for it; undefined: none has. */
  receive(): Reply | undefined;
  close(): void;
}

export class EchoSocket implements EchoPort {
  private readonly buffer = new Uint8Array(2048);
  private readonly sender = new Uint8Array(SOCKADDR_IN6_BYTES);
  private readonly timespec = new Uint8Array(16);
  private readonly fd: Fd;

  /** Throws EADDRNOTAVAIL while no device has the address. `errors`: receives that a destination is unreachable, too. */
  constructor(
    private readonly family: Family,
    address: Ip,
    errors: boolean,
  ) {
    this.fd = family === 4 ? socket(AF_INET, SOCK_RAW, IPPROTO_ICMP) : socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6);
    try {
      setFilter(this.fd, family, errors);
      // Never fragmented, and whatever the kernel remembers of the path's MTU: that is what is asked for.
      if (family === 4) setSocketOption(this.fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE);
      else setSocketOption(this.fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IP_PMTUDISC_PROBE);
      bind(this.fd, sockaddrOf(address, 0));
    } catch (error) {
      closeFd(this.fd);
      throw error;
    }
    this.age();
  }

  send(target: Ip, message: Uint8Array): void {
    sendTo(this.fd, message, MSG_DONTWAIT, sockaddrOf(target, 0));
  }

  receive(): Reply | undefined {
    for (;;) {
      const length = tryRecvFrom(this.fd, this.buffer, MSG_DONTWAIT, this.sender);
      if (length < 0) return undefined; // EAGAIN, or an error that says nothing of a reply
      const answer = decodeAnswer(this.family, this.buffer.subarray(0, length));
      if (answer !== undefined) return { ...answer, from: ipOfSockaddr(this.sender), ageMs: this.age() };
    }
  }

  close(): void {
    closeFd(this.fd);
  }

  /** Of the message that was read last; 0 where the kernel does not say. */
  private age(): number {
    try {
      ioctl(this.fd, SIOCGSTAMPNS, this.timespec);
      return realTime() - milliseconds(this.timespec);
    } catch {
      return 0; // ENOENT: nothing has arrived yet
    }
  }
}

/** The kernel gives a raw socket all ICMP messages of the host; a set bit in a filter keeps its type away. */
function setFilter(fd: Fd, family: Family, errors: boolean): void {
  const filter = new Uint8Array(family === 4 ? 4 : 32).fill(0xff);
  const { reply, unreachable } = TYPES[family];
  for (const type of errors ? [reply, unreachable] : [reply]) filter[type >> 3]! &= ~(1 << (type & 7));
  const [level, name] = family === 4 ? [SOL_RAW, ICMP_FILTER] : [SOL_ICMPV6, ICMPV6_FILTER];
  setSocketOption(fd, level, name, filter);
}
