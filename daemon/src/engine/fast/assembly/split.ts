/*
 * Device -> socket: what a read of the device brought becomes packets for the wire. A super-packet (GSO) becomes segments:
 * headers of their own, payload where it lies.
 */
import { fold, sum, swap } from './checksum';
import { ipv6, mtu, peerOfDestination } from './host';
import { checkHeader, decrementTimeToLive, headerLength, pseudoHeader, totalLength } from './ipv4';
import { isIpv6 } from './ipv6';
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
import { outgoing6, outgoingSuper6, superBytes, superPackets } from './split6';

/** The largest IPv4 datagram less its IPv4 and UDP headers. */
const MAX_PAYLOAD: u32 = 65535 - 20 - 8;

// linux/virtio_net.h
const NEEDS_CSUM: u32 = 1;
const GSO_TCPV4: u32 = 1;
const GSO_UDP_L4: u32 = 5;
const GSO_ECN: u32 = 0x80;

const TCP: u32 = 6;
const UDP: u32 = 17;
const TCP_FIN_PSH: u32 = 0x09;
const TCP_CWR: u32 = 0x80;
const MORE_FRAGMENTS_OR_OFFSET: u32 = 0xff3f; // of the word at 6, in the processor's order

// Of the last packet given to outgoing(), whatever became of it: as packets and bytes on the wire.
let wirePackets: u32 = 0;
let wireBytes: u32 = 0;

export function outgoingPackets(): u32 {
  return wirePackets;
}

export function outgoingBytes(): u32 {
  return wireBytes;
}

function dontFragment(packet: usize): bool {
  return (load<u8>(packet, 6) & 0x40) !== 0;
}

/**
 * Takes a packet that was read at `packet`, behind a virtio header if `vnet`. 0 when it is in the plan, its TTL decremented;
 * else why not, and the packet is as it came. The judgement is judgeOutgoing's of forward.ts.
 */
export function outgoing(packet: usize, length: u32, vnet: bool): i32 {
  wirePackets = 1;
  wireBytes = length;
  if (!hasRoom(1)) return PLAN_FULL;
  const type = vnet ? (load<u8>(packet - VNET_BYTES + 1) as u32) & ~GSO_ECN : 0;
  if (ipv6 && isIpv6(packet, length)) {
    if (type === 0) return outgoing6(packet, length, vnet);
    const verdict6 = outgoingSuper6(packet, length, type);
    wirePackets = superPackets;
    wireBytes = superBytes;
    return verdict6;
  }
  const verdict = checkHeader(packet, length);
  if (verdict < 0) return verdict;
  if (type !== 0) return outgoingSuper(packet, type, load<u16>(packet - VNET_BYTES + 4) as u32);

  const peer = peerOfDestination(bswap<u32>(load<u32>(packet, 16)));
  if (peer === 0) return NO_ROUTE;
  if (load<u8>(packet, 8) <= 1) return TTL_EXPIRED;
  const total = totalLength(packet);
  if (total > MAX_PAYLOAD || (total > mtu && dontFragment(packet))) return TOO_BIG;
  if (vnet && ((load<u8>(packet - VNET_BYTES) as u32) & NEEDS_CSUM) !== 0) {
    const start = load<u16>(packet - VNET_BYTES + 6) as u32;
    const field = start + (load<u16>(packet - VNET_BYTES + 8) as u32);
    if (field + 2 > total) return MALFORMED;
    finishChecksum(packet, start, field, total);
  }
  decrementTimeToLive(packet);
  addIovec(packet, total);
  addSegment(peer, total, 1);
  return 0;
}

/** The field holds the folded sum of the pseudo header: the sum over it, inverted, is the checksum. */
function finishChecksum(packet: usize, start: u32, field: u32, total: u32): void {
  const checksum = ~fold(sum(packet + start, total - start)) & 0xffff;
  // RFC 768: a UDP checksum of 0 would say that there is none. For TCP both forms of zero are right.
  store<u16>(packet + field, (checksum === 0 ? 0xffff : checksum) as u16);
}

/** hdr_len of the virtio header is not to be relied on: forwarded packets have that of their whole first packet there. */
function outgoingSuper(packet: usize, type: u32, size: u32): i32 {
  const ip = headerLength(packet);
  const total = totalLength(packet);
  const protocol = load<u8>(packet, 9) as u32;
  if (size === 0 || ((load<u16>(packet, 6) as u32) & MORE_FRAGMENTS_OR_OFFSET) !== 0) return MALFORMED;
  let header = ip;
  if (type === GSO_TCPV4) {
    if (protocol !== TCP || ip + 20 > total) return MALFORMED;
    header += ((load<u8>(packet + ip, 12) as u32) >>> 4) << 2;
    if (header < ip + 20) return MALFORMED;
  } else if (type === GSO_UDP_L4) {
    if (protocol !== UDP) return MALFORMED;
    header += 8;
  } else return MALFORMED;
  if (header > total) return MALFORMED;
  const payload = total - header;
  const count = payload === 0 ? 1 : (payload + size - 1) / size;
  if (count > MAX_SEGMENTS) return MALFORMED;
  wirePackets = count;
  wireBytes = total + (count - 1) * header;
  if (!hasRoom(count)) return PLAN_FULL;

  const peer = peerOfDestination(bswap<u32>(load<u32>(packet, 16)));
  if (peer === 0) return NO_ROUTE;
  if (load<u8>(packet, 8) <= 1) return TTL_EXPIRED;
  const largest = header + min(size, payload);
  if (largest > MAX_PAYLOAD || (largest > mtu && dontFragment(packet))) return TOO_BIG;
  decrementTimeToLive(packet);
  if (protocol === TCP) splitTcp(packet, peer, ip, header, total, size);
  else splitUdp(packet, peer, ip, header, total, size);
  return 0;
}

/** The IPv4 header of segment `index` at `to`, which holds a copy of the first one with length, id and checksum zeroed. */
function stampIpv4(to: usize, partial: u64, id: u32, length: u32): void {
  store<u16>(to, swap(length) as u16, 2);
  store<u16>(to, swap(id) as u16, 4);
  store<u16>(to, ~fold(partial + (swap(length) as u64) + (swap(id) as u64)) as u16, 10);
}

/** What stays the same in all segments is summed once; per segment come the fields that change and the payload. */
function splitTcp(packet: usize, peer: u32, ip: u32, header: u32, total: u32, size: u32): void {
  const id = swap(load<u16>(packet, 4));
  const tcp = packet + ip;
  const sequence = bswap<u32>(load<u32>(tcp, 4));
  const flags = load<u8>(tcp, 13) as u32;
  store<u16>(packet, 0, 2);
  store<u16>(packet, 0, 4);
  store<u16>(packet, 0, 10);
  store<u32>(tcp, 0, 4);
  store<u8>(tcp, 0, 13);
  store<u16>(tcp, 0, 16);
  const ipSum = sum(packet, ip);
  const tcpSum = pseudoHeader(packet, 0) + sum(tcp, header - ip);

  let index: u32 = 0;
  let at = header;
  do {
    const length = min(size, total - at);
    const last = at + length >= total;
    const to: usize = HEADERS + segmentCount() * HEADER_STRIDE;
    memory.copy(to, packet, header);
    stampIpv4(to, ipSum, id + index, header + length);
    const ownFlags = flags & ~(last ? 0 : TCP_FIN_PSH) & ~(index === 0 ? 0 : TCP_CWR);
    const ownSequence = bswap<u32>(sequence + index * size);
    store<u32>(to + ip, ownSequence, 4);
    store<u8>(to + ip, ownFlags as u8, 13);
    const own = (swap(header - ip + length) + (ownFlags << 8)) as u64;
    const checksum = ~fold(tcpSum + own + (ownSequence as u64) + sum(packet + at, length));
    store<u16>(to + ip, checksum as u16, 16);
    addIovec(to, header);
    if (length !== 0) addIovec(packet + at, length);
    addSegment(peer, header + length, length !== 0 ? 2 : 1);
    at += length;
    index++;
  } while (at < total);
}

function splitUdp(packet: usize, peer: u32, ip: u32, header: u32, total: u32, size: u32): void {
  const id = swap(load<u16>(packet, 4));
  const udp = packet + ip;
  store<u16>(packet, 0, 2);
  store<u16>(packet, 0, 4);
  store<u16>(packet, 0, 10);
  store<u32>(udp, 0, 4);
  const ipSum = sum(packet, ip);
  const udpSum = pseudoHeader(packet, 0) + (load<u32>(udp) as u64);

  let index: u32 = 0;
  let at = header;
  do {
    const length = min(size, total - at);
    const to: usize = HEADERS + segmentCount() * HEADER_STRIDE;
    memory.copy(to, packet, header);
    stampIpv4(to, ipSum, id + index, header + length);
    const own = swap(8 + length);
    store<u16>(to + ip, own as u16, 4);
    // The length is in the pseudo header and in the header.
    const checksum = ~fold(udpSum + ((own + own) as u64) + sum(packet + at, length)) & 0xffff;
    store<u16>(to + ip, (checksum === 0 ? 0xffff : checksum) as u16, 6);
    addIovec(to, header);
    if (length !== 0) addIovec(packet + at, length);
    addSegment(peer, header + length, length !== 0 ? 2 : 1);
    at += length;
    index++;
  } while (at < total);
}
