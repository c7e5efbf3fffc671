/**
 * What a host on an Ethernet segment has to say to be reached and to ask others: ARP (RFC 826), neighbour discovery (RFC 4861), ICMP and
 * ICMPv6 echo. Pure.
 */
import type { Family } from '@flannel-ts/inet/family';
import { familyOf, type Ip, ipFromBytes, ipToBytes } from '@flannel-ts/inet/ip';
import { type Mac, macFromBytes, macToBytes } from '@flannel-ts/inet/mac';
import { checksum, TYPES } from '../reach/echo.ts';

export interface Station {
  readonly mac: Mac;
  /** One, or one of each family. */
  readonly addresses: readonly Ip[];
}

/** What a frame to the station asks of it. */
export type Heard =
  /** To be sent. */
  | { readonly kind: 'answer'; readonly frame: Uint8Array }
  /** ICMP for whoever asks from this station: with its IP header for IPv4, as raw sockets have it, and without for IPv6. */
  | { readonly kind: 'message'; readonly family: Family; readonly from: Ip; readonly bytes: Uint8Array };

const ETHERNET_BYTES = 14;
const ETHERTYPE = { arp: 0x0806, 4: 0x0800, 6: 0x86dd } as const;
const IP_HEADER_BYTES = { 4: 20, 6: 40 } as const;
const PROTOCOL = { 4: 1, 6: 58 } as const;
/** Where a header has the addresses. */
const SOURCE_AT = { 4: 12, 6: 8 } as const;
const TARGET_AT = { 4: 16, 6: 24 } as const;
const HOP_LIMIT = 64;
const DONT_FRAGMENT = 0x4000;
const IS_FRAGMENT = 0x3fff;

const ARP_BYTES = 28;
const ARP_REQUEST = 1;
const ARP_REPLY = 2;
/** Hardware type Ethernet, protocol IPv4, with addresses of 6 and 4 bytes. */
const ARP_HEAD = [0, 1, 8, 0, 6, 4] as const;

const SOLICITATION = 135;
const ADVERTISEMENT = 136;
const SOLICITATION_BYTES = 24;
/** Messages of neighbour discovery from behind a router have fewer hops left (RFC 4861, 7.1.1). */
const NEIGHBOUR_HOP_LIMIT = 255;
const SOLICITED_AND_OVERRIDE = 0x60;
const TARGET_LINK_LAYER_ADDRESS = 2;

/** The ICMP message in a packet and a frame, with all checksums. `message` is as encodeRequest() makes it. */
export function encodeFrame(from: Mac, to: Mac, source: Ip, target: Ip, message: Uint8Array): Uint8Array {
  return encode(from, to, source, target, message, HOP_LIMIT);
}

function encode(from: Mac, to: Mac, source: Ip, target: Ip, message: Uint8Array, hopLimit: number): Uint8Array {
  const family = familyOf(source);
  const headerBytes = IP_HEADER_BYTES[family];
  const frame = new Uint8Array(ETHERNET_BYTES + headerBytes + message.length);
  frame.set(macToBytes(to));
  frame.set(macToBytes(from), 6);
  new DataView(frame.buffer).setUint16(12, ETHERTYPE[family]);
  const packet = frame.subarray(ETHERNET_BYTES);
  const view = new DataView(packet.buffer, packet.byteOffset);
  packet.set(ipToBytes(source), SOURCE_AT[family]);
  packet.set(ipToBytes(target), TARGET_AT[family]);
  packet.set(message, headerBytes);
  view.setUint16(headerBytes + 2, 0);
  if (family === 4) {
    packet[0] = 0x45;
    view.setUint16(2, packet.length);
    view.setUint16(6, DONT_FRAGMENT);
    packet[8] = hopLimit;
    packet[9] = PROTOCOL[4];
    view.setUint16(10, checksum(packet.subarray(0, headerBytes)));
    view.setUint16(headerBytes + 2, checksum(packet.subarray(headerBytes)));
  } else {
    packet[0] = 0x60;
    view.setUint16(4, message.length);
    packet[6] = PROTOCOL[6];
    packet[7] = hopLimit;
    // The pseudo header (RFC 8200, 8.1): addresses, length and protocol.
    const pseudo = sumOf(packet.subarray(SOURCE_AT[6], headerBytes)) + message.length + PROTOCOL[6];
    view.setUint16(headerBytes + 2, checksum(packet.subarray(headerBytes), pseudo));
  }
  return frame;
}

function sumOf(bytes: Uint8Array): number {
  return ~checksum(bytes) & 0xffff;
}

/** Undefined for what is not for this station, or nothing that it answers. */
export function hear(frame: Uint8Array, station: Station): Heard | undefined {
  if (frame.length < ETHERNET_BYTES) return undefined;
  const type = new DataView(frame.buffer, frame.byteOffset).getUint16(12);
  const packet = frame.subarray(ETHERNET_BYTES);
  if (type === ETHERTYPE.arp) return hearArp(packet, station);
  const sender = macFromBytes(frame, 6);
  if (type === ETHERTYPE[4]) return hearIp(4, packet, sender, station);
  if (type === ETHERTYPE[6]) return hearIp(6, packet, sender, station);
  return undefined;
}

function hearArp(request: Uint8Array, { mac, addresses }: Station): Heard | undefined {
  const view = new DataView(request.buffer, request.byteOffset);
  if (request.length < ARP_BYTES || ARP_HEAD.some((byte, at) => request[at] !== byte)) return undefined;
  if (view.getUint16(6) !== ARP_REQUEST || !addresses.includes(ipFromBytes(4, request, 24))) return undefined;
  const frame = new Uint8Array(ETHERNET_BYTES + ARP_BYTES);
  frame.set(request.subarray(8, 14));
  frame.set(macToBytes(mac), 6);
  new DataView(frame.buffer).setUint16(12, ETHERTYPE.arp);
  const reply = frame.subarray(ETHERNET_BYTES);
  reply.set(ARP_HEAD);
  reply[7] = ARP_REPLY;
  reply.set(macToBytes(mac), 8);
  reply.set(request.subarray(24, 28), 14);
  reply.set(request.subarray(8, 18), 18);
  return { kind: 'answer', frame };
}

function hearIp(family: Family, bytes: Uint8Array, sender: Mac, station: Station): Heard | undefined {
  const packet = icmpPacket(family, bytes);
  if (packet === undefined) return undefined;
  const from = ipFromBytes(family, packet, SOURCE_AT[family]);
  const to = ipFromBytes(family, packet, TARGET_AT[family]);
  const message = packet.subarray(family === 4 ? (packet[0]! & 15) * 4 : IP_HEADER_BYTES[6]);
  if (family === 6 && message[0] === SOLICITATION) return hearSolicitation(packet, message, sender, station);
  if (!station.addresses.includes(to)) return undefined;
  const { request, reply } = TYPES[family];
  if (message[0] !== request) {
    return { kind: 'message', family, from, bytes: Uint8Array.from(family === 4 ? packet : message) };
  }
  const answer = Uint8Array.from(message);
  answer[0] = reply;
  return { kind: 'answer', frame: encodeFrame(station.mac, sender, to, from, answer) };
}

/** Without what Ethernet fills short frames up with; undefined for a fragment or another protocol. */
function icmpPacket(family: Family, bytes: Uint8Array): Uint8Array | undefined {
  const headerBytes = IP_HEADER_BYTES[family];
  if (bytes.length < headerBytes + 8 || bytes[0]! >> 4 !== family) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const length = family === 4 ? view.getUint16(2) : headerBytes + view.getUint16(4);
  if (bytes[family === 4 ? 9 : 6] !== PROTOCOL[family] || length > bytes.length || length < headerBytes + 8)
    return undefined;
  if (family === 4 && (view.getUint16(6) & IS_FRAGMENT) !== 0) return undefined;
  return bytes.subarray(0, length);
}

function hearSolicitation(
  packet: Uint8Array,
  message: Uint8Array,
  sender: Mac,
  { mac, addresses }: Station,
): Heard | undefined {
  if (message.length < SOLICITATION_BYTES || packet[7] !== NEIGHBOUR_HOP_LIMIT) return undefined;
  const asker = ipFromBytes(6, packet, SOURCE_AT[6]);
  const target = ipFromBytes(6, message, 8);
  // From no address: somebody looks whether the address is free, which the reservation has settled.
  if (!addresses.includes(target) || asker === 0n) return undefined;
  const advertisement = new Uint8Array(SOLICITATION_BYTES + 8);
  advertisement[0] = ADVERTISEMENT;
  advertisement[4] = SOLICITED_AND_OVERRIDE;
  advertisement.set(ipToBytes(target), 8);
  advertisement[SOLICITATION_BYTES] = TARGET_LINK_LAYER_ADDRESS;
  advertisement[SOLICITATION_BYTES + 1] = 1;
  advertisement.set(macToBytes(mac), SOLICITATION_BYTES + 2);
  return { kind: 'answer', frame: encode(mac, sender, target, asker, advertisement, NEIGHBOUR_HOP_LIMIT) };
}
