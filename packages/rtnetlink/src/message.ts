/**
 * Netlink messages: `struct nlmsghdr { u32 len; u16 type; u16 flags; u32 seq; u32 pid; }` and a payload (linux/netlink.h).
 * Bytes in, values out: no descriptor is touched here.
 */
import { align4, parseAttributes, readString, readU16, readU32, viewOf } from './attributes.ts';
import { NetlinkError } from './errors.ts';

export const NLMSG_HDRLEN = 16;

// linux/netlink.h: message types below NLMSG_MIN_TYPE (0x10)
export const NLMSG_NOOP = 1;
export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;
export const NLMSG_OVERRUN = 4;

// linux/netlink.h: flags of any message
export const NLM_F_REQUEST = 0x1;
export const NLM_F_MULTI = 0x2;
export const NLM_F_ACK = 0x4;
export const NLM_F_DUMP_INTR = 0x10;
export const NLM_F_DUMP_FILTERED = 0x20;

// linux/netlink.h: flags of a GET request
export const NLM_F_ROOT = 0x100;
export const NLM_F_MATCH = 0x200;
export const NLM_F_DUMP = NLM_F_ROOT | NLM_F_MATCH;

// linux/netlink.h: flags of a NEW request
export const NLM_F_REPLACE = 0x100;
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;
export const NLM_F_APPEND = 0x800;

// linux/netlink.h: flags of an acknowledgement
export const NLM_F_CAPPED = 0x100;
export const NLM_F_ACK_TLVS = 0x200;

// linux/netlink.h: enum nlmsgerr_attrs
export const NLMSGERR_ATTR_MSG = 1;
export const NLMSGERR_ATTR_OFFS = 2;
export const NLMSGERR_ATTR_MISS_TYPE = 5;
export const NLMSGERR_ATTR_MISS_NEST = 6;

export interface NetlinkMessage {
  readonly type: number;
  readonly flags: number;
  readonly seq: number;
  /** Port id of the socket that asked, in replies and in notifications of what a request has changed; 0: the kernel by itself. */
  readonly pid: number;
  readonly payload: Uint8Array;
}

/** What NLMSG_ERROR and NLMSG_DONE report. */
export interface Acknowledgement {
  /** 0, or a positive errno. */
  readonly errno: number;
  /** The kernel's own words (EXT_ACK), if it had any. */
  readonly text: string | undefined;
  /** Offset in the request of the attribute that the kernel objects to. */
  readonly badOffset: number | undefined;
  /** Type of an attribute the kernel misses in the request. */
  readonly missingType: number | undefined;
}

export function encodeMessage(message: NetlinkMessage): Uint8Array {
  const length = NLMSG_HDRLEN + message.payload.length;
  const bytes = new Uint8Array(align4(length));
  const view = viewOf(bytes);
  view.setUint32(0, length, true);
  view.setUint16(4, message.type, true);
  view.setUint16(6, message.flags, true);
  view.setUint32(8, message.seq, true);
  view.setUint32(12, message.pid, true);
  bytes.set(message.payload, NLMSG_HDRLEN);
  return bytes;
}

/** The messages of one datagram. Payloads are views of `bytes`, not copies. */
export function parseMessages(bytes: Uint8Array): NetlinkMessage[] {
  const view = viewOf(bytes);
  const messages: NetlinkMessage[] = [];
  let offset = 0;
  while (bytes.length - offset >= NLMSG_HDRLEN) {
    const length = view.getUint32(offset, true);
    if (length < NLMSG_HDRLEN || length > bytes.length - offset) {
      throw malformed(`message at byte ${offset} has length ${length}, but ${bytes.length - offset} bytes are left`);
    }
    messages.push({
      type: view.getUint16(offset + 4, true),
      flags: view.getUint16(offset + 6, true),
      seq: view.getUint32(offset + 8, true),
      pid: view.getUint32(offset + 12, true),
      payload: bytes.subarray(offset + NLMSG_HDRLEN, offset + length),
    });
    offset += align4(length);
  }
  if (offset < bytes.length) throw malformed(`${bytes.length - offset} bytes at the end are no message`);
  return messages;
}

/**
 * Reads NLMSG_ERROR (`struct nlmsgerr { int error; struct nlmsghdr msg; }`, then the whole request unless NLM_F_CAPPED,
 * then attributes if NLM_F_ACK_TLVS) and NLMSG_DONE (`int error`, then attributes if NLM_F_ACK_TLVS).
 */
export function parseAcknowledgement(message: NetlinkMessage): Acknowledgement {
  const { payload } = message;
  if (payload.length < 4) {
    // The kernel has always sent the int, but NLMSG_DONE without a payload is allowed by RFC 3549, 2.3.2.
    if (message.type === NLMSG_DONE) return { errno: 0, text: undefined, badOffset: undefined, missingType: undefined };
    throw malformed(`acknowledgement has ${payload.length} bytes instead of at least 4`);
  }
  const view = viewOf(payload);
  // A dump reports its error as a negative errno; a positive value is a length in some old families, no error.
  const errno = Math.max(0, -view.getInt32(0, true));
  let offset = 4;
  if (message.type === NLMSG_ERROR) {
    const echoed = message.flags & NLM_F_CAPPED || payload.length < 8 ? NLMSG_HDRLEN : view.getUint32(4, true);
    offset += align4(echoed);
  }
  const hasAttributes = (message.flags & NLM_F_ACK_TLVS) !== 0 && offset < payload.length;
  const attributes = hasAttributes ? parseAttributes(payload.subarray(offset)) : new Map<number, Uint8Array>();
  return {
    errno,
    text: readString(attributes, NLMSGERR_ATTR_MSG),
    badOffset: readU32(attributes, NLMSGERR_ATTR_OFFS),
    missingType: readU32(attributes, NLMSGERR_ATTR_MISS_TYPE) ?? readU16(attributes, NLMSGERR_ATTR_MISS_TYPE),
  };
}

function malformed(detail: string): NetlinkError {
  return new NetlinkError('EBADMSG', 'read a netlink message', detail);
}
