/**
 * The structures of the message calls, laid out by hand in caller-owned memory: 64-bit Linux, little-endian (x86-64, arm64).
 * A batch engine fills them once, keeps their addresses (memory.ts) and changes single fields per packet.
 *
 *   struct iovec   { void *base; size_t len; }                                                              16 bytes
 *   struct msghdr  { void *name; u32 namelen; pad; iovec *iov; size_t iovlen; void *control;
 *                    size_t controllen; int flags; pad }                                                    56 bytes
 *   struct mmsghdr { msghdr hdr; u32 len; pad }                                                             64 bytes
 *   struct cmsghdr { size_t len; int level; int type; data... }                                             16 + data, padded to 8
 *
 * Fields are written through a Uint32Array over the whole memory; `at` is a byte offset into it, a multiple of 8.
 */
import { SOL_UDP, UDP_GRO, UDP_SEGMENT } from './socket-constants.ts';

export const IOVEC_BYTES = 16;
export const MSGHDR_BYTES = 56;
export const MMSGHDR_BYTES = 64;
/** A control message with up to 8 bytes of data: CMSG_SPACE(2) = CMSG_SPACE(4) = 24. */
export const CMSG_SPACE = 24;

const CMSG_HEADER_BYTES = 16;
const CMSG_LEN_SEGMENT = CMSG_HEADER_BYTES + 2; // a u16
const CMSG_LEN_GRO = CMSG_HEADER_BYTES + 4; // an int

// Indexes of 32-bit words in struct msghdr
const NAME = 0;
const NAMELEN = 2;
const IOV = 4;
const IOVLEN = 6;
const CONTROL = 8;
const CONTROLLEN = 10;
const FLAGS = 12;
const MMSG_LENGTH = 14;

const WORD = 0x1_0000_0000;

/** A pointer as two words: no BigInt, which would be allocated. */
function setPointer(words: Uint32Array, index: number, address: number): void {
  words[index] = address % WORD; // not `>>> 0`: engines convert larger numbers by a slow path
  words[index + 1] = Math.floor(address / WORD);
}

export function setIovec(words: Uint32Array, at: number, base: number, length: number): void {
  const index = at >>> 2;
  setPointer(words, index, base);
  words[index + 2] = length;
  words[index + 3] = 0;
}

/** Only the length: for buffers that stay where they are. */
export function setIovecLength(words: Uint32Array, at: number, length: number): void {
  words[(at >>> 2) + 2] = length;
}

export interface Message {
  /** Address of a sockaddr and its size; 0 and 0 for a connected socket. */
  readonly name: number;
  readonly nameLength: number;
  readonly iovecs: number;
  readonly iovecCount: number;
  /** Address of the control messages and their size; 0 and 0 for none. */
  readonly control: number;
  readonly controlLength: number;
}

/** Writes a msghdr, or the msghdr at the start of an mmsghdr. */
export function setMessage(words: Uint32Array, at: number, message: Message): void {
  const index = at >>> 2;
  setPointer(words, index + NAME, message.name);
  words[index + NAMELEN] = message.nameLength;
  setPointer(words, index + IOV, message.iovecs);
  words[index + IOVLEN] = message.iovecCount;
  words[index + IOVLEN + 1] = 0;
  setPointer(words, index + CONTROL, message.control);
  words[index + CONTROLLEN] = message.controlLength;
  words[index + CONTROLLEN + 1] = 0;
  words[index + FLAGS] = 0;
}

export function setMessageIovecs(words: Uint32Array, at: number, iovecs: number, count: number): void {
  setPointer(words, (at >>> 2) + IOV, iovecs);
  words[(at >>> 2) + IOVLEN] = count;
}

/** What a receive overwrites and the next one needs again: the room for the sender's address and for control messages. */
export function rearmMessage(words: Uint32Array, at: number, nameLength: number, controlLength: number): void {
  words[(at >>> 2) + NAMELEN] = nameLength;
  words[(at >>> 2) + CONTROLLEN] = controlLength;
}

export function setMessageControlLength(words: Uint32Array, at: number, length: number): void {
  words[(at >>> 2) + CONTROLLEN] = length;
}

/** MSG_TRUNC, MSG_CTRUNC and the like of a received message. */
export function messageFlags(words: Uint32Array, at: number): number {
  return words[(at >>> 2) + FLAGS]!;
}

/** The bytes that one message of a batch carried: msg_len of the mmsghdr at `at`. */
export function batchedLength(words: Uint32Array, at: number): number {
  return words[(at >>> 2) + MMSG_LENGTH]!;
}

/** The control message that has the kernel cut one datagram into many of `size` bytes; takes CMSG_SPACE bytes. */
export function setSegmentSize(words: Uint32Array, at: number, size: number): void {
  const index = at >>> 2;
  words[index] = CMSG_LEN_SEGMENT;
  words[index + 1] = 0;
  words[index + 2] = SOL_UDP;
  words[index + 3] = UDP_SEGMENT;
  words[index + 4] = size;
}

/**
 * The size of the datagrams that the kernel glued together (UDP_GRO), or 0 when it was a single one. `control` is where the
 * message's control buffer lies; the option being the only one set, its message is the only one there.
 */
export function groSegmentSize(words: Uint32Array, messageAt: number, control: number): number {
  if (words[(messageAt >>> 2) + CONTROLLEN]! < CMSG_LEN_GRO) return 0;
  const index = control >>> 2;
  return words[index + 2] === SOL_UDP && words[index + 3] === UDP_GRO ? words[index + 4]! : 0;
}
