/** ICMP and ICMPv6 echo messages (RFC 792, RFC 4443) as a raw socket takes and gives them. Pure. */
import type { Family } from '@flannel-ts/inet/family';

export interface Echo {
  /** 16 bits: which socket asked. */
  readonly id: number;
  /** 16 bits: which question it was. */
  readonly sequence: number;
}

const TYPES = { 4: { request: 8, reply: 0 }, 6: { request: 128, reply: 129 } } as const;
const HEADER_BYTES = 8;
const IP_HEADER_BYTES = { 4: 20, 6: 40 } as const;

/** The smallest packet that is asked with, headers included. */
export const SMALL_BYTES = 64;

/** `packetBytes` is the length of the whole IP packet. The kernel fills in the checksum of ICMPv6, not that of ICMP. */
export function encodeRequest(family: Family, { id, sequence }: Echo, packetBytes: number): Uint8Array {
  const bytes = new Uint8Array(packetBytes - IP_HEADER_BYTES[family]);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, TYPES[family].request);
  view.setUint16(4, id);
  view.setUint16(6, sequence);
  if (family === 4) view.setUint16(2, checksum(bytes));
  return bytes;
}

/** Undefined for any other message. A raw IPv4 socket also delivers the IP header. */
export function decodeReply(family: Family, bytes: Uint8Array): Echo | undefined {
  const start = family === 4 ? ((bytes[0] ?? 0) & 15) * 4 : 0;
  if (bytes.length < start + HEADER_BYTES) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset + start);
  if (view.getUint8(0) !== TYPES[family].reply) return undefined;
  return { id: view.getUint16(4), sequence: view.getUint16(6) };
}

/** RFC 1071. */
function checksum(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += (bytes[i]! << 8) + (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
