/* Device -> socket for IPv6: as split.ts, without a header checksum, and without fragments by routers. */
import { fold, sum, swap } from './checksum';
import { mtu, ownerOf6 } from './host';
import { checkHeader6, decrementHopLimit, pseudoHeader6, totalLength6 } from './ipv6';
import {
  HEADER_STRIDE,
  HEADERS,
  MALFORMED,
  MAX_SEGMENTS,
  NO_ROUTE,
  PLAN_FULL,
  TOO_BIG,
  TTL_EXPIRED,
  VNET_BYTES,
} from './layout';
import { addIovec, addSegment, hasRoom, segmentCount } from './plan';

// linux/virtio_net.h
const NEEDS_CSUM: u32 = 1;
const GSO_TCPV6: u32 = 4;
const GSO_UDP_L4: u32 = 5;

const TCP: u32 = 6;
const UDP: u32 = 17;
const TCP_FIN_PSH: u32 = 0x09;
const TCP_CWR: u32 = 0x80;

/** Of the last super-packet: as packets and bytes on the wire. */
export let superPackets: u32 = 1;
export let superBytes: u32 = 0;

/** A packet that is none of several; judgeOutgoing6 of forward.ts. */
export function outgoing6(packet: usize, length: u32, vnet: bool): i32 {
  const verdict = checkHeader6(packet, length);
  if (verdict < 0) return verdict;
  const peer = ownerOf6(packet + 24);
  if (peer === 0) return NO_ROUTE;
  if (load<u8>(packet, 7) <= 1) return TTL_EXPIRED;
  const total = totalLength6(packet);
  if (total > mtu) return TOO_BIG;
  if (vnet && ((load<u8>(packet - VNET_BYTES) as u32) & NEEDS_CSUM) !== 0) {
    const start = load<u16>(packet - VNET_BYTES + 6) as u32;
    const field = start + (load<u16>(packet - VNET_BYTES + 8) as u32);
    if (field + 2 > total) return MALFORMED;
    const checksum = ~fold(sum(packet + start, total - start)) & 0xffff;
    // Over IPv6 a UDP checksum of 0 is not allowed (RFC 8200 8.1).
    store<u16>(packet + field, (checksum === 0 ? 0xffff : checksum) as u16);
  }
  decrementHopLimit(packet);
  addIovec(packet, total);
  addSegment(peer, total, 1);
  return 0;
}

/** The transport header is where the virtio header has csum_start: behind extension headers, if there are any. */
export function outgoingSuper6(packet: usize, length: u32, type: u32): i32 {
  superPackets = 1;
  superBytes = length;
  const verdict = checkHeader6(packet, length);
  if (verdict < 0) return verdict;
  const size = load<u16>(packet - VNET_BYTES + 4) as u32;
  const ip = load<u16>(packet - VNET_BYTES + 6) as u32;
  const total = totalLength6(packet);
  if (size === 0 || ip < 40) return MALFORMED;
  let header = ip;
  if (type === GSO_TCPV6) {
    if (ip + 20 > total) return MALFORMED;
    header += ((load<u8>(packet + ip, 12) as u32) >>> 4) << 2;
    if (header < ip + 20) return MALFORMED;
  } else if (type === GSO_UDP_L4) header += 8;
  else return MALFORMED;
  if (header > total || header > (HEADER_STRIDE as u32)) return MALFORMED;
  const payload = total - header;
  const count = payload === 0 ? 1 : (payload + size - 1) / size;
  if (count > MAX_SEGMENTS) return MALFORMED;
  superPackets = count;
  superBytes = total + (count - 1) * header;
  if (!hasRoom(count)) return PLAN_FULL;

  const peer = ownerOf6(packet + 24);
  if (peer === 0) return NO_ROUTE;
  if (load<u8>(packet, 7) <= 1) return TTL_EXPIRED;
  if (header + min(size, payload) > mtu) return TOO_BIG;
  decrementHopLimit(packet);
  if (type === GSO_TCPV6) splitTcp6(packet, peer, ip, header, total, size);
  else splitUdp6(packet, peer, ip, header, total, size);
  return 0;
}

/** A copy of the headers for the next segment, with its length. */
function stamp(packet: usize, header: u32, length: u32): usize {
  const to: usize = HEADERS + segmentCount() * HEADER_STRIDE;
  memory.copy(to, packet, header);
  store<u16>(to, swap(header + length - 40) as u16, 4);
  return to;
}

function put(peer: u32, to: usize, header: u32, payload: usize, length: u32): void {
  addIovec(to, header);
  if (length !== 0) addIovec(payload, length);
  addSegment(peer, header + length, length !== 0 ? 2 : 1);
}

function splitTcp6(packet: usize, peer: u32, ip: u32, header: u32, total: u32, size: u32): void {
  const tcp = packet + ip;
  const sequence = bswap<u32>(load<u32>(tcp, 4));
  const flags = load<u8>(tcp, 13) as u32;
  store<u32>(tcp, 0, 4);
  store<u8>(tcp, 0, 13);
  store<u16>(tcp, 0, 16);
  const tcpSum = pseudoHeader6(packet, TCP) + sum(tcp, header - ip);
  let index: u32 = 0;
  let at = header;
  do {
    const length = min(size, total - at);
    const last = at + length >= total;
    const to = stamp(packet, header, length);
    const ownFlags = flags & ~(last ? 0 : TCP_FIN_PSH) & ~(index === 0 ? 0 : TCP_CWR);
    const ownSequence = bswap<u32>(sequence + index * size);
    store<u32>(to + ip, ownSequence, 4);
    store<u8>(to + ip, ownFlags as u8, 13);
    const own = (swap(header - ip + length) + (ownFlags << 8)) as u64;
    const checksum = ~fold(tcpSum + own + (ownSequence as u64) + sum(packet + at, length));
    store<u16>(to + ip, checksum as u16, 16);
    put(peer, to, header, packet + at, length);
    at += length;
    index++;
  } while (at < total);
}

function splitUdp6(packet: usize, peer: u32, ip: u32, header: u32, total: u32, size: u32): void {
  const udpSum = pseudoHeader6(packet, UDP) + (load<u32>(packet + ip) as u64);
  let at = header;
  do {
    const length = min(size, total - at);
    const to = stamp(packet, header, length);
    const own = swap(8 + length);
    store<u16>(to + ip, own as u16, 4);
    // The length is in the pseudo header and in the header.
    const checksum = ~fold(udpSum + ((own + own) as u64) + sum(packet + at, length)) & 0xffff;
    store<u16>(to + ip, (checksum === 0 ? 0xffff : checksum) as u16, 6);
    put(peer, to, header, packet + at, length);
    at += length;
  } while (at < total);
}
