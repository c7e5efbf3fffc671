import { type Ip, ipToBytes, isIpv6 } from '@flannel-ts/inet/ip';
import type { Ipv4 } from '@flannel-ts/inet/ipv4';
import { type Ipv6, ipv6FromBytes } from '@flannel-ts/inet/ipv6';
import {
  AF_INET,
  AF_INET6,
  getSockName,
  SOCKADDR_IN_BYTES,
  SOCKADDR_IN6_ADDRESS,
  SOCKADDR_IN6_BYTES,
  sockaddrFamily,
  sockaddrIn,
  sockaddrIn6,
  sockaddrInAddress,
} from '@flannel-ts/linux/socket';
import { RouteTable6, type Words6 } from './peers6.ts';

/** Which addresses nodes reach each other by, whatever is inside the datagrams. */
export type Family = 4 | 6;

/** A peer's number and address, as they cross shared memory: see slots.ts. */
export interface PeerRow {
  readonly peer: number;
  /** An IPv4 address is mapped into IPv6 (RFC 4291 2.5.5.2). */
  readonly address: Words6;
}

/** In network order. */
export function wordsOf(address: Ipv6): Words6 {
  const word = (shift: bigint): number => Number((address >> shift) & 0xffff_ffffn);
  return [word(96n), word(64n), word(32n), word(0n)];
}

const MAPPED = 0xffff;

export function peerWords(address: Ip): Words6 {
  return isIpv6(address) ? wordsOf(address) : [0, 0, MAPPED, address];
}

function isMapped([a, b, c]: Words6): boolean {
  return a === 0 && b === 0 && c === MAPPED;
}

/** The family of a bound socket. */
export function familyOf(socketFd: number): Family {
  return sockaddrFamily(getSockName(socketFd)) === AF_INET6 ? 6 : 4;
}

export function sockaddrOf(address: Ip, port: number): Uint8Array {
  return isIpv6(address) ? sockaddrIn6(ipToBytes(address), port) : sockaddrIn(address, port);
}

export function addressOfName(name: Uint8Array): Ip {
  return sockaddrFamily(name) === AF_INET6
    ? ipv6FromBytes(name, SOCKADDR_IN6_ADDRESS)
    : (sockaddrInAddress(name) as Ipv4);
}

/**
 * The peers as the socket knows them: by sockaddrs ("names", as in msghdr's msg_name) of its family. All else of an engine
 * knows them by their numbers.
 */
export class Underlay {
  /** Of a name. */
  readonly nameBytes: number;
  #rows: readonly PeerRow[] = [];
  #rowOf: ReadonlyMap<number, number> = new Map();
  #peerOf: ReadonlyMap<number, number> = new Map();
  #peerOf6 = RouteTable6.EMPTY;

  constructor(
    readonly family: Family,
    readonly port: number,
  ) {
    this.nameBytes = family === 4 ? SOCKADDR_IN_BYTES : SOCKADDR_IN6_BYTES;
  }

  /** Those of the other family are passed over: no datagram can reach them. */
  setPeers(rows: readonly PeerRow[]): void {
    this.#rows = rows.filter(({ address }) => isMapped(address) === (this.family === 4));
    this.#rowOf = new Map(this.#rows.map(({ peer }, index) => [peer, index]));
    if (this.family === 4) this.#peerOf = new Map(this.#rows.map(({ peer, address }) => [address[3], peer]));
    else this.#peerOf6 = new RouteTable6(this.#rows.map(({ peer, address }) => ({ base: address, length: 128, peer })));
  }

  /** Whether a number is a present peer's. */
  has(peer: number): boolean {
    return this.#rowOf.has(peer);
  }

  /** The peer with the name in the bytes from `at`, 0 when it is nobody's; the port does not matter. Allocates nothing. */
  peerAt(bytes: Uint8Array, at: number): number {
    if (this.family === 4) return this.#peerOf.get(wordAt(bytes, at + 4)) ?? 0;
    const row = this.#peerOf6.lookup(bytes, at + SOCKADDR_IN6_ADDRESS);
    return row < 0 ? 0 : this.#peerOf6.peer(row);
  }

  /** Writes a present peer's name to the bytes from `at`. Allocates nothing. */
  writeName(bytes: Uint8Array, at: number, peer: number): void {
    const [a, b, c, d] = this.#rows[this.#rowOf.get(peer)!]!.address;
    bytes.fill(0, at, at + this.nameBytes);
    bytes[at] = this.family === 4 ? AF_INET : AF_INET6;
    bytes[at + 2] = this.port >>> 8;
    bytes[at + 3] = this.port;
    if (this.family === 4) {
      putWord(bytes, at + 4, d);
      return;
    }
    const address = at + SOCKADDR_IN6_ADDRESS;
    putWord(bytes, address, a);
    putWord(bytes, address + 4, b);
    putWord(bytes, address + 8, c);
    putWord(bytes, address + 12, d);
  }
}

function wordAt(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}

function putWord(bytes: Uint8Array, at: number, word: number): void {
  bytes[at] = word >>> 24;
  bytes[at + 1] = word >>> 16;
  bytes[at + 2] = word >>> 8;
  bytes[at + 3] = word;
}
