import {
  AF_INET,
  AF_INET6,
  getSockName,
  SOCKADDR_IN_ADDRESS,
  SOCKADDR_IN_BYTES,
  SOCKADDR_IN6_ADDRESS,
  SOCKADDR_IN6_BYTES,
  sockaddrFamily,
} from '@flannel-ts/linux/socket';
import { PrefixTable } from './prefix-table.ts';
import { MAX_PEERS } from './shared.ts';
import { slotOf } from './slots.ts';
import { isMapped, putWordAt, type Words, wordAt } from './words.ts';

/** Which addresses nodes reach each other by, whatever is inside the datagrams. */
export type Family = 4 | 6;

const ADDRESS_BITS = 128;

/** The family of a bound socket. */
export function familyOf(socketFd: number): Family {
  return sockaddrFamily(getSockName(socketFd)) === AF_INET6 ? 6 : 4;
}

/**
 * The peers as the socket knows them: by sockaddrs ("names", as in msghdr's msg_name) of its family. The rest of an
 * engine identifies them by number.
 */
export class Underlay {
  /** Of a name. */
  readonly nameBytes: number;
  /** By slot: the number of the present peer, 0 for none, and its address. */
  readonly #numbers = new Uint32Array(MAX_PEERS);
  readonly #addresses = new Uint32Array(MAX_PEERS * 4);
  /** Every address is a prefix of 128 bits. */
  readonly #peers = new PrefixTable();

  constructor(
    readonly family: Family,
    readonly port: number,
  ) {
    this.nameBytes = family === 4 ? SOCKADDR_IN_BYTES : SOCKADDR_IN6_BYTES;
  }

  /** Adds a peer with its address in words. One of the other family is ignored: no datagram can reach it. */
  add(peer: number, a: number, b: number, c: number, d: number): void {
    if (isMapped(a, b, c) !== (this.family === 4)) return;
    const slot = slotOf(peer);
    this.#numbers[slot] = peer;
    this.#addresses.set([a, b, c, d], slot * 4);
    this.#peers.set(a, b, c, d, ADDRESS_BITS, peer);
  }

  remove(peer: number): void {
    if (!this.has(peer)) return;
    const slot = slotOf(peer);
    const [a, b, c, d] = this.#addresses.subarray(slot * 4, slot * 4 + 4) as unknown as Words;
    this.#numbers[slot] = 0;
    this.#peers.delete(a, b, c, d, ADDRESS_BITS);
  }

  /** Whether a number is a present peer's. */
  has(peer: number): boolean {
    return peer !== 0 && this.#numbers[slotOf(peer)] === peer;
  }

  /** The peer with the name in the bytes from `at`, 0 if there is none; the port is ignored. Allocates nothing. */
  peerAt(bytes: Uint8Array, at: number): number {
    return this.peerOfAddress(bytes, at + (this.family === 4 ? SOCKADDR_IN_ADDRESS : SOCKADDR_IN6_ADDRESS));
  }

  /** The peer with the address of the socket's family in the bytes from `at`, 0 if there is none. Allocates nothing. */
  peerOfAddress(bytes: Uint8Array, at: number): number {
    return this.family === 4 ? this.#peers.lookup(wordAt(bytes, at)) : this.#peers.lookup6(bytes, at);
  }

  /** Writes a present peer's name to the bytes from `at`. Allocates nothing. */
  writeName(bytes: Uint8Array, at: number, peer: number): void {
    const words = slotOf(peer) * 4;
    bytes.fill(0, at, at + this.nameBytes);
    bytes[at] = this.family === 4 ? AF_INET : AF_INET6;
    bytes[at + 2] = this.port >>> 8;
    bytes[at + 3] = this.port;
    if (this.family === 4) {
      putWordAt(bytes, at + SOCKADDR_IN_ADDRESS, this.#addresses[words + 3]!);
      return;
    }
    for (let word = 0; word < 4; word++) {
      putWordAt(bytes, at + SOCKADDR_IN6_ADDRESS + word * 4, this.#addresses[words + word]!);
    }
  }
}
