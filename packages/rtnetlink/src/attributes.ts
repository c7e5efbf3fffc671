/**
 * Netlink attributes: `struct nlattr { u16 nla_len; u16 nla_type; }`, a payload, and padding to four bytes (linux/netlink.h).
 *
 * Everything is in host byte order, which is little endian on every machine we build for; the few attributes that the
 * kernel wants in network order say so in their name (`attributeBe16`, addresses).
 */
import { NetlinkError } from './errors.ts';

export const NLA_HDRLEN = 4;
export const NLA_F_NESTED = 0x8000; // linux/netlink.h
export const NLA_TYPE_MASK = 0x3fff; // linux/netlink.h: without NLA_F_NESTED and NLA_F_NET_BYTEORDER

export interface Attribute {
  readonly type: number;
  readonly payload: Uint8Array;
}

/** The attributes of one message or nest by type. Of a type that occurs twice the last one is kept, as nla_parse() does. */
export type Attributes = ReadonlyMap<number, Uint8Array>;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** NLMSG_ALIGN and NLA_ALIGN are the same: four bytes. */
export function align4(length: number): number {
  return (length + 3) & ~3;
}

export function concatBytes(parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const bytes = new Uint8Array(length);
  let offset = 0;
  for (const part of parts) {
    bytes.set(part, offset);
    offset += part.length;
  }
  return bytes;
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** One attribute, padded to four bytes; the length field excludes the padding. */
export function attribute(type: number, payload: Uint8Array): Uint8Array {
  const length = NLA_HDRLEN + payload.length;
  if (length > 0xffff) {
    throw new NetlinkError(
      'EMSGSIZE',
      `encode attribute ${type & NLA_TYPE_MASK}`,
      `${payload.length} bytes do not fit into an attribute`,
    );
  }
  const bytes = new Uint8Array(align4(length));
  const view = viewOf(bytes);
  view.setUint16(0, length, true);
  view.setUint16(2, type, true);
  bytes.set(payload, NLA_HDRLEN);
  return bytes;
}

/** NLA_FLAG: present or absent, without a payload. */
export function attributeFlag(type: number): Uint8Array {
  return attribute(type, new Uint8Array(0));
}

export function attributeU8(type: number, value: number): Uint8Array {
  return attribute(type, Uint8Array.of(value));
}

export function attributeU16(type: number, value: number): Uint8Array {
  return attribute(type, Uint8Array.of(value, value >>> 8));
}

/** A u16 in network byte order: ports and Ethernet protocols. */
export function attributeBe16(type: number, value: number): Uint8Array {
  return attribute(type, Uint8Array.of(value >>> 8, value));
}

export function attributeU32(type: number, value: number): Uint8Array {
  return attribute(type, Uint8Array.of(value, value >>> 8, value >>> 16, value >>> 24));
}

/** A u32 in network byte order: everything that nfnetlink has. */
export function attributeBe32(type: number, value: number): Uint8Array {
  return attribute(type, Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value));
}

/** NLA_NUL_STRING. The NUL counts in the length: some policies accept no string without it. */
export function attributeString(type: number, text: string): Uint8Array {
  return attribute(type, encoder.encode(`${text}\0`));
}

export function attributeNested(type: number, children: readonly Uint8Array[]): Uint8Array {
  return attribute(type | NLA_F_NESTED, concatBytes(children));
}

/** Every attribute in its order, for nests in which a type may repeat. Payloads are views, not copies. */
export function listAttributes(bytes: Uint8Array): Attribute[] {
  const view = viewOf(bytes);
  const found: Attribute[] = [];
  let offset = 0;
  while (bytes.length - offset >= NLA_HDRLEN) {
    const length = view.getUint16(offset, true);
    if (length < NLA_HDRLEN || length > bytes.length - offset) {
      throw new NetlinkError(
        'EBADMSG',
        'read a netlink message',
        `attribute at byte ${offset} has length ${length}, but ${bytes.length - offset} bytes are left`,
      );
    }
    found.push({
      type: view.getUint16(offset + 2, true) & NLA_TYPE_MASK,
      payload: bytes.subarray(offset + NLA_HDRLEN, offset + length),
    });
    offset += align4(length);
  }
  return found;
}

export function parseAttributes(bytes: Uint8Array): Attributes {
  const attributes = new Map<number, Uint8Array>();
  for (const { type, payload } of listAttributes(bytes)) attributes.set(type, payload);
  return attributes;
}

export function readU8(attributes: Attributes, type: number): number | undefined {
  return attributes.get(type)?.[0];
}

export function readU16(attributes: Attributes, type: number): number | undefined {
  const payload = attributes.get(type);
  return payload && payload.length >= 2 ? viewOf(payload).getUint16(0, true) : undefined;
}

export function readBe16(attributes: Attributes, type: number): number | undefined {
  const payload = attributes.get(type);
  return payload && payload.length >= 2 ? viewOf(payload).getUint16(0) : undefined;
}

export function readU32(attributes: Attributes, type: number): number | undefined {
  const payload = attributes.get(type);
  return payload && payload.length >= 4 ? viewOf(payload).getUint32(0, true) : undefined;
}

export function readBe32(attributes: Attributes, type: number): number | undefined {
  const payload = attributes.get(type);
  return payload && payload.length >= 4 ? viewOf(payload).getUint32(0) : undefined;
}

export function readS32(attributes: Attributes, type: number): number | undefined {
  const payload = attributes.get(type);
  return payload && payload.length >= 4 ? viewOf(payload).getInt32(0, true) : undefined;
}

/** A string up to its NUL; the kernel sends some with and some without one. */
export function readString(attributes: Attributes, type: number): string | undefined {
  const payload = attributes.get(type);
  if (!payload) return undefined;
  const end = payload.indexOf(0);
  return decoder.decode(end < 0 ? payload : payload.subarray(0, end));
}

/** An absent nest reads as an empty one. */
export function readNested(attributes: Attributes, type: number): Attributes {
  const payload = attributes.get(type);
  return payload ? parseAttributes(payload) : new Map();
}
