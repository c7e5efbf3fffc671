/** ICMP and ICMPv6 echo messages (RFC 792, RFC 4443) as they are written to and read from a raw socket. Pure. */
import type { Family } from '@flannel-ts/inet/family';

export interface Echo {
  /** 16 bits: which socket asked. */
  readonly id: number;
  /** 16 bits: which question it was. */
  readonly sequence: number;
}

export const TYPES = {
  4: { request: 8, reply: 0, unreachable: 3 },
  6: { request: 128, reply: 129, unreachable: 1 },
} as const;
const PROTOCOLS = { 4: 1, 6: 58 } as const;
/** A code of ICMP's "destination unreachable" that says nothing about the destination itself. */
const FRAGMENTATION_NEEDED = 4;
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

/** What came back for a question: its answer, or a node's word that there is nobody to answer it. */
export interface Answer extends Echo {
  readonly unreachable: boolean;
}

/** Undefined for any other message. A raw IPv4 socket also delivers the IP header. */
export function decodeAnswer(family: Family, bytes: Uint8Array): Answer | undefined {
  const message = bytes.subarray(family === 4 ? ipv4HeaderBytes(bytes) : 0);
  const { request, reply, unreachable } = TYPES[family];
  const echo = decodeEcho(message, reply);
  if (echo !== undefined) return { ...echo, unreachable: false };
  if (message[0] !== unreachable || (family === 4 && message[1] === FRAGMENTATION_NEEDED)) return undefined;
  const quoted = message.subarray(HEADER_BYTES);
  const question = quoted.subarray(family === 4 ? ipv4HeaderBytes(quoted) : IP_HEADER_BYTES[6]);
  const asked = protocolOf(family, quoted) === PROTOCOLS[family] ? decodeEcho(question, request) : undefined;
  return asked && { ...asked, unreachable: true };
}

function decodeEcho(message: Uint8Array, type: number): Echo | undefined {
  if (message.length < HEADER_BYTES || message[0] !== type) return undefined;
  const view = new DataView(message.buffer, message.byteOffset);
  return { id: view.getUint16(4), sequence: view.getUint16(6) };
}

function ipv4HeaderBytes(packet: Uint8Array): number {
  return ((packet[0] ?? 0) & 15) * 4;
}

function protocolOf(family: Family, packet: Uint8Array): number | undefined {
  return packet[family === 4 ? 9 : 6];
}

/** RFC 1071, over 16-bit words whose sum so far is `sum`. */
export function checksum(bytes: Uint8Array, sum = 0): number {
  for (let i = 0; i < bytes.length; i += 2) sum += (bytes[i]! << 8) + (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
