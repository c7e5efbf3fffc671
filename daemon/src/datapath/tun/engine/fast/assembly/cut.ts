/*
 * A super-packet (GSO) becomes segments: each has headers of its own, its payload is not moved. What all segments
 * have in common is summed once; each segment adds the fields that change and its payload.
 */
import { fold, sum, swap } from './checksum';
import { putFragments } from './fragment';
import { pseudoHeader } from './ipv4';
import { pseudoHeader6 } from './ipv6';
import { addIovec, addSegment, nextHeaders } from './plan';

export const TCP: u32 = 6;
export const UDP: u32 = 17;
const TCP_FIN_PSH: u32 = 0x09;
const TCP_CWR: u32 = 0x80;

/**
 * `ip` and `header` are the lengths of what is before the transport header, and of all headers; `total` of the whole. A segment longer
 * than `largest` is fragmented.
 */
export function cutTcp(
  packet: usize,
  peer: u32,
  six: bool,
  ip: u32,
  header: u32,
  total: u32,
  size: u32,
  largest: u32,
): void {
  const tcp = packet + ip;
  const sequence = bswap<u32>(load<u32>(tcp, 4));
  const flags = load<u8>(tcp, 13) as u32;
  store<u32>(tcp, 0, 4);
  store<u8>(tcp, 0, 13);
  store<u16>(tcp, 0, 16);
  const id = six ? 0 : swap(load<u16>(packet, 4));
  const ipSum = six ? 0 : sumSameFields(packet, ip);
  const tcpSum = (six ? pseudoHeader6(packet, TCP) : pseudoHeader(packet, 0)) + sum(tcp, header - ip);

  let index: u32 = 0;
  let at = header;
  do {
    const length = min(size, total - at);
    const last = at + length >= total;
    const to = six ? stamp6(packet, header, length) : stamp4(packet, header, length, ipSum, id + index);
    const ownFlags = flags & ~(last ? 0 : TCP_FIN_PSH) & ~(index === 0 ? 0 : TCP_CWR);
    const ownSequence = bswap<u32>(sequence + index * size);
    store<u32>(to + ip, ownSequence, 4);
    store<u8>(to + ip, ownFlags as u8, 13);
    const own = (swap(header - ip + length) + (ownFlags << 8)) as u64;
    const checksum = ~fold(tcpSum + own + (ownSequence as u64) + sum(packet + at, length));
    store<u16>(to + ip, checksum as u16, 16);
    put(peer, to, ip, header, packet + at, length, largest);
    at += length;
    index++;
  } while (at < total);
}

export function cutUdp(
  packet: usize,
  peer: u32,
  six: bool,
  ip: u32,
  header: u32,
  total: u32,
  size: u32,
  largest: u32,
): void {
  const id = six ? 0 : swap(load<u16>(packet, 4));
  const ipSum = six ? 0 : sumSameFields(packet, ip);
  const ports = load<u32>(packet + ip) as u64;
  const udpSum = (six ? pseudoHeader6(packet, UDP) : pseudoHeader(packet, 0)) + ports;

  let index: u32 = 0;
  let at = header;
  do {
    const length = min(size, total - at);
    const to = six ? stamp6(packet, header, length) : stamp4(packet, header, length, ipSum, id + index);
    const own = swap(8 + length);
    store<u16>(to + ip, own as u16, 4);
    // The length is in the pseudo header and in the header.
    const checksum = ~fold(udpSum + ((own + own) as u64) + sum(packet + at, length));
    store<u16>(to + ip, notZero(checksum), 6);
    put(peer, to, ip, header, packet + at, length, largest);
    at += length;
    index++;
  } while (at < total);
}

/** A UDP checksum of 0 would say that there is none (RFC 768), which IPv6 does not allow (RFC 8200 8.1). */
export function notZero(checksum: u32): u16 {
  const low = checksum as u16;
  return low === 0 ? 0xffff : low;
}

/** Zeroes what differs in each segment's IPv4 header (length, id, checksum) and sums the rest. */
function sumSameFields(packet: usize, length: u32): u64 {
  store<u16>(packet, 0, 2);
  store<u16>(packet, 0, 4);
  store<u16>(packet, 0, 10);
  return sum(packet, length);
}

/** A copy of the headers for the next segment, with the fields of its IPv4 header. */
function stamp4(packet: usize, header: u32, payload: u32, same: u64, id: u32): usize {
  const to: usize = nextHeaders();
  memory.copy(to, packet, header);
  const length = swap(header + payload);
  store<u16>(to, length as u16, 2);
  store<u16>(to, swap(id) as u16, 4);
  store<u16>(to, ~fold(same + (length as u64) + (swap(id) as u64)) as u16, 10);
  return to;
}

function stamp6(packet: usize, header: u32, payload: u32): usize {
  const to: usize = nextHeaders();
  memory.copy(to, packet, header);
  store<u16>(to, swap(header + payload - 40) as u16, 4);
  return to;
}

function put(peer: u32, to: usize, ip: u32, header: u32, payload: usize, length: u32, largest: u32): void {
  if (header + length > largest) {
    putFragments(peer, to, ip, header, payload, length, largest);
    return;
  }
  addIovec(to, header);
  if (length !== 0) addIovec(payload, length);
  addSegment(peer, header + length, length !== 0 ? 2 : 1);
}
