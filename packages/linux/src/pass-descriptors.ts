/** Descriptors that go from process to process over a unix socket (unix(7), SCM_RIGHTS). */
import { checked, uninterrupted } from './errors.ts';
import { libc } from './ffi/libc.ts';
import type { Fd } from './files.ts';
import { MSGHDR_BYTES, setIovec, setMessage } from './layouts.ts';
import { addressOf } from './memory.ts';
import { SOL_SOCKET } from './socket-constants.ts';

const SCM_RIGHTS = 1;
const MSG_CMSG_CLOEXEC = 0x4000_0000;
/** Of a cmsghdr: a size_t and two ints. */
const CMSG_HEADER_BYTES = 16;
/** SCM_MAX_FD of net/scm.h. */
const MAX_DESCRIPTORS = 253;

/** In one memory: msghdr, iovec, control message, name, data. */
class Message {
  readonly words: Uint32Array;
  readonly bytes: Uint8Array;
  readonly control = 128;
  readonly name: number;
  readonly data: number;

  constructor(
    readonly descriptors: number,
    nameBytes: number,
    dataBytes: number,
  ) {
    this.name = this.control + this.controlBytes;
    this.data = this.name + align(nameBytes);
    // One byte more: an empty view has no address.
    this.words = new Uint32Array(align(this.data + dataBytes + 1) / 4);
    this.bytes = new Uint8Array(this.words.buffer);
    const base = this.address;
    setIovec(this.words, MSGHDR_BYTES, base + this.data, dataBytes);
    setMessage(this.words, 0, {
      name: nameBytes === 0 ? 0 : base + this.name,
      nameLength: nameBytes,
      iovecs: base + MSGHDR_BYTES,
      iovecCount: 1,
      control: descriptors === 0 ? 0 : base + this.control,
      controlLength: descriptors === 0 ? 0 : this.controlBytes,
    });
  }

  get address(): number {
    return addressOf(this.bytes);
  }

  get controlBytes(): number {
    return align(CMSG_HEADER_BYTES + this.descriptors * 4);
  }
}

/** Sends one message with descriptors beside it, which stay open here, too. To `sockaddr`, or to the connected peer. */
export function sendWithDescriptors(
  socketFd: Fd,
  data: Uint8Array,
  descriptors: readonly Fd[],
  sockaddr: Uint8Array = new Uint8Array(),
): void {
  const message = new Message(descriptors.length, sockaddr.length, data.length);
  message.bytes.set(sockaddr, message.name);
  message.bytes.set(data, message.data);
  const control = message.control / 4;
  message.words.set([CMSG_HEADER_BYTES + descriptors.length * 4, 0, SOL_SOCKET, SCM_RIGHTS, ...descriptors], control);
  checked(
    uninterrupted(() => libc.sendmsg(socketFd, message.address, 0)),
    'sendmsg',
    () => `send ${descriptors.length} descriptors on socket ${socketFd}`,
  );
}

export interface WithDescriptors {
  readonly data: Uint8Array;
  /** The caller closes them. None is kept across exec. */
  readonly descriptors: readonly Fd[];
}

/** Receives one message of at most `most` bytes; what is longer is cut off. Throws EAGAIN as recv() does. */
export function receiveWithDescriptors(socketFd: Fd, most: number, flags = 0): WithDescriptors {
  const message = new Message(MAX_DESCRIPTORS, 0, most);
  const length = checked(
    uninterrupted(() => libc.recvmsg(socketFd, message.address, flags | MSG_CMSG_CLOEXEC)),
    'recvmsg',
    () => `receive on socket ${socketFd}`,
  );
  return {
    data: message.bytes.slice(message.data, message.data + length),
    descriptors: descriptorsIn(message),
  };
}

function descriptorsIn({ words, control }: Message): Fd[] {
  const written = words[10]!; // msg_controllen
  const at = control / 4;
  if (written < CMSG_HEADER_BYTES || words[at + 2] !== SOL_SOCKET || words[at + 3] !== SCM_RIGHTS) return [];
  return [...words.subarray(at + 4, at + words[at]! / 4)];
}

function align(bytes: number): number {
  return (bytes + 7) & ~7;
}
