/*
 * Socket -> device: packets of one flow that follow each other become one super-packet, so that the kernel handles them at once.
 * The kernel can segment it into the same packets again; where it could not (other TTL, ECN mark, acknowledgement, options, a gap, a
 * wrong checksum, ...) the packet opens an entry of its own. Entries are written in the order in which they were opened and only
 * the newest of a flow grows: order within a flow is kept.
 */
import { fold, sum, swap } from './checksum';
import {
  base,
  filterPeers,
  ipv6,
  makeRoom,
  mergeTcp,
  mergeUdp,
  ownerOf6,
  peerOfSource,
  refuse,
  tunAddress,
  verify,
} from './host';
import { checkHeader, decrementTimeToLive, pseudoHeader, sealHeader, totalLength } from './ipv4';
import { checkHeader6, decrementHopLimit, isIpv6, isOwnAddress6, pseudoHeader6, totalLength6 } from './ipv6';
import {
  ENTRIES,
  ENTRY_BYTES,
  ENTRY_COUNT,
  ENTRY_FIRST,
  ENTRY_HEADER,
  ENTRY_HEADERS,
  ENTRY_IOVEC_COUNT,
  ENTRY_IOVECS,
  ENTRY_IOVECS_BYTES,
  ENTRY_PACKET_BYTES,
  ENTRY_PAYLOAD,
  ENTRY_SENDER,
  ENTRY_SEQUENCE,
  ENTRY_SIZE,
  ENTRY_STATE,
  FLOW_COUNT,
  FLOWS,
  HEADER_STRIDE,
  IOVEC_BYTES,
  MAX_ENTRIES,
  MAX_MERGED,
  NO_VNET,
  SPARE_IOVECS,
  SPOOFED_SOURCE,
  TOO_SHORT,
  TTL_EXPIRED,
  UNKNOWN_PEER,
  VNET_BYTES,
} from './layout';

// Bits of ENTRY_STATE
const CLOSED: u32 = 1;
const VERIFIED: u32 = 2;
const PUSH: u32 = 4;

const TCP: u32 = 6;
const UDP: u32 = 17;
const DONT_FRAGMENT: u32 = 0x0040; // of the word at 6, in the processor's order
const PSH: u32 = 0x0800; // of the TCP word at 12, in the processor's order
/** ACK must be set; PSH and ECE may; reserved bits, NS and the header length are compared. FIN SYN RST URG CWR are never merged. */
const NEVER: u32 = 0xa700;
const ACK: u32 = 0x1000;

let entries: u32 = 0;

export function entryCount(): u32 {
  return entries;
}

export function clearEntries(): void {
  entries = 0;
  memory.fill(FLOWS, 0, FLOW_COUNT * 4);
}

function entryAt(index: u32): usize {
  return ENTRIES + index * ENTRY_BYTES;
}

/** Judges and merges a datagram, or several of `size` bytes that the kernel put together (UDP_GRO). */
export function incoming(data: usize, length: u32, size: u32, sender: u32): void {
  const step = size === 0 ? length : size;
  const known = !filterPeers || sender !== 0;
  let at: u32 = 0;
  do {
    const part = min(step, length - at);
    const packet = data + at;
    const six = ipv6 && isIpv6(packet, part);
    const verdict = !known ? UNKNOWN_PEER : six ? judge6(packet, part, sender) : judge(packet, part, sender);
    if (verdict < 0) {
      refuse(verdict, packet, part);
    } else {
      if (six) decrementHopLimit(packet);
      else decrementTimeToLive(packet);
      merge(packet, sender, six ? totalLength6(packet) : totalLength(packet));
    }
    at += step;
  } while (at < length);
}

/** judgeIncoming of forward.ts, behind the check of the sender. */
function judge(packet: usize, length: u32, sender: u32): i32 {
  if (length === 0) return TOO_SHORT;
  const verdict = checkHeader(packet, length);
  if (verdict < 0) return verdict;
  const source = bswap<u32>(load<u32>(packet, 12));
  if (source === tunAddress) return SPOOFED_SOURCE;
  if (filterPeers && peerOfSource(source) !== sender) return SPOOFED_SOURCE;
  return load<u8>(packet, 8) <= 1 ? TTL_EXPIRED : 0;
}

/** The same for IPv6. */
function judge6(packet: usize, length: u32, sender: u32): i32 {
  const verdict = checkHeader6(packet, length);
  if (verdict < 0) return verdict;
  if (isOwnAddress6(packet + 8)) return SPOOFED_SOURCE;
  if (filterPeers && ownerOf6(packet + 8) !== sender) return SPOOFED_SOURCE;
  return load<u8>(packet, 7) <= 1 ? TTL_EXPIRED : 0;
}

/** The length of the IP header of a packet that may be merged: no options, no extension headers. */
function ipLength(packet: usize): u32 {
  return load<u8>(packet) >>> 4 === 6 ? 40 : 20;
}

function protocolOf(packet: usize, ip: u32): u32 {
  return load<u8>(packet + (ip === 40 ? 6 : 9)) as u32;
}

function merge(packet: usize, sender: u32, total: u32): void {
  const header = mergeableHeader(packet, total);
  if (header === 0) {
    openVerbatim(packet, total, sender);
    return;
  }
  const flow = flowSlot(packet, ipLength(packet));
  const index = load<u32>(flow);
  if (index !== 0 && join(entryAt(index - 1), index - 1, packet, header, total, sender)) return;
  openEntry(packet, header, total, sender);
  store<u32>(flow, entries);
}

/** A packet that is written as it came. Later ones must not join entries before it. */
function openVerbatim(packet: usize, total: u32, sender: u32): void {
  openEntry(packet, 0, total, sender);
  const ip = ipLength(packet);
  const protocol = protocolOf(packet, ip);
  const simple = isPlain(packet) && total >= ip + 4;
  if (simple && (protocol === TCP || protocol === UDP)) store<u32>(flowSlot(packet, ip), 0);
  else if (mergeTcp) memory.fill(FLOWS, 0, FLOW_COUNT * 4); // its flow is not known: a fragment has no ports
}

/** IPv4 without options that is no fragment, or IPv6: there options and fragments are headers of their own. */
function isPlain(packet: usize): bool {
  const first = load<u8>(packet) as u32;
  return first >>> 4 === 6 || (first === 0x45 && ((load<u16>(packet, 6) as u32) & 0xff3f) === 0);
}

function flowSlot(packet: usize, ip: u32): usize {
  let addresses: u32 = load<u32>(packet, 12) ^ (load<u32>(packet, 16) * 0x85ebca6b);
  if (ip === 40) {
    addresses ^= load<u32>(packet, 8) ^ load<u32>(packet, 20);
    for (let at: usize = 24; at < 40; at += 4) addresses = addresses * 0x85ebca6b + load<u32>(packet + at);
  }
  return FLOWS + (((addresses ^ load<u32>(packet + ip)) * 0x9e3779b1) >>> 24) * 4;
}

/** The length of the headers of a packet that may be merged, 0 for one that may not. */
function mergeableHeader(packet: usize, total: u32): u32 {
  if (!mergeTcp || !isPlain(packet)) return 0;
  const ip = ipLength(packet);
  const protocol = protocolOf(packet, ip);
  if (protocol === TCP) {
    if (total < ip + 20) return 0;
    const word = load<u16>(packet + ip, 12) as u32;
    const header: u32 = ip + (((word >>> 4) & 0x0f) << 2);
    const allowed = (word & NEVER) === 0 && (word & ACK) !== 0;
    return allowed && header >= ip + 20 && header < total ? header : 0;
  }
  if (protocol === UDP && mergeUdp) {
    if (total <= ip + 8 || swap(load<u16>(packet + ip, 4)) !== total - ip) return 0;
    // A checksum of 0 means that there is none; segmentation would make one.
    return load<u16>(packet + ip, 6) !== 0 ? ip + 8 : 0;
  }
  return 0;
}

function openEntry(packet: usize, header: u32, total: u32, sender: u32): void {
  if (entries === MAX_ENTRIES) makeRoom();
  const entry = entryAt(entries);
  store<u32>(entry, packet as u32, ENTRY_FIRST);
  store<u32>(entry, header, ENTRY_HEADER);
  store<u32>(entry, total - header, ENTRY_SIZE);
  store<u32>(entry, 1, ENTRY_COUNT);
  store<u32>(entry, total - header, ENTRY_PAYLOAD);
  store<u32>(entry, sender, ENTRY_SENDER);
  store<u32>(entry, 2, ENTRY_IOVEC_COUNT);
  store<u32>(entry, total, ENTRY_PACKET_BYTES);
  let state: u32 = header === 0 ? CLOSED : 0;
  const ip = ipLength(packet);
  if (header !== 0 && protocolOf(packet, ip) === TCP) {
    store<u32>(entry, bswap<u32>(load<u32>(packet + ip, 4)) + (total - header), ENTRY_SEQUENCE);
    if (((load<u16>(packet + ip, 12) as u32) & PSH) !== 0) state |= CLOSED | PUSH;
  }
  store<u32>(entry, state, ENTRY_STATE);
  const iovec: usize = ENTRY_IOVECS + entries * ENTRY_IOVECS_BYTES;
  putIovec(iovec, NO_VNET, VNET_BYTES);
  putIovec(iovec + IOVEC_BYTES, packet, total);
  entries++;
}

function putIovec(iovec: usize, at: usize, length: u32): void {
  store<u64>(iovec, base + (at as u64));
  store<u64>(iovec, length as u64, 8);
}

function join(entry: usize, index: u32, packet: usize, header: u32, total: u32, sender: u32): bool {
  const first: usize = load<u32>(entry, ENTRY_FIRST);
  const count = load<u32>(entry, ENTRY_COUNT);
  const payload = total - header;
  const state = load<u32>(entry, ENTRY_STATE);
  const size = load<u32>(entry, ENTRY_SIZE);
  if ((state & CLOSED) !== 0 || count === MAX_MERGED || payload > size) return false;
  const all = load<u32>(entry, ENTRY_PAYLOAD) + payload;
  if (header + all > 65535 || load<u32>(entry, ENTRY_HEADER) !== header) return false;
  if (load<u32>(entry, ENTRY_SENDER) !== sender) return false;
  const ip = ipLength(packet);
  const same = ip === 40 ? sameIpv6(first, packet) : sameIpv4(first, packet, count);
  if (!same || load<u32>(first + ip) !== load<u32>(packet + ip)) return false;
  const isTcp = protocolOf(packet, ip) === TCP;
  if (isTcp) {
    if (!sameTcp(first, packet, ip, header)) return false;
    if (bswap<u32>(load<u32>(packet + ip, 4)) !== load<u32>(entry, ENTRY_SEQUENCE)) return false;
  }
  if (verify && !verified(entry, first, state, packet, ip, total)) return false;
  addPacket(entry, index, packet, header, payload, all, isTcp ? packet + ip : 0);
  return true;
}

/** Addresses; TOS with its ECN bits, TTL, protocol, DF. The kernel counts the ids on: they must be in a row or not matter. */
function sameIpv4(first: usize, packet: usize, count: u32): bool {
  if (load<u64>(first, 12) !== load<u64>(packet, 12)) return false;
  if (load<u16>(first) !== load<u16>(packet) || load<u32>(first, 6) !== load<u32>(packet, 6)) return false;
  if (((load<u16>(packet, 6) as u32) & DONT_FRAGMENT) !== 0) return true;
  return ((swap(load<u16>(first, 4)) + count) & 0xffff) === swap(load<u16>(packet, 4));
}

/** Version, traffic class with its ECN bits and flow label; next header and hop limit; addresses. */
function sameIpv6(first: usize, packet: usize): bool {
  if (load<u32>(first) !== load<u32>(packet) || load<u16>(first, 6) !== load<u16>(packet, 6)) return false;
  for (let at: usize = 8; at < 40; at += 8) {
    if (load<u64>(first + at) !== load<u64>(packet + at)) return false;
  }
  return true;
}

/** Acknowledgement, header length, flags but PSH, window, urgent pointer and options. */
function sameTcp(first: usize, packet: usize, ip: u32, header: u32): bool {
  if (load<u32>(first + ip, 8) !== load<u32>(packet + ip, 8)) return false;
  if (((load<u32>(first + ip, 12) ^ load<u32>(packet + ip, 12)) & ~PSH) !== 0) return false;
  if (load<u16>(first + ip, 18) !== load<u16>(packet + ip, 18)) return false;
  for (let at: u32 = ip + 20; at < header; at += 4) {
    if (load<u32>(first + at) !== load<u32>(packet + at)) return false;
  }
  return true;
}

/** The kernel will make new checksums: a wrong one must not become a right one on the way. */
function verified(entry: usize, first: usize, state: u32, packet: usize, ip: u32, total: u32): bool {
  if ((state & VERIFIED) === 0) {
    const length = load<u32>(entry, ENTRY_HEADER) + load<u32>(entry, ENTRY_SIZE);
    if (!hasRightChecksum(first, ip, length)) {
      store<u32>(entry, state | CLOSED, ENTRY_STATE);
      return false;
    }
    store<u32>(entry, state | VERIFIED, ENTRY_STATE);
  }
  return hasRightChecksum(packet, ip, total);
}

function hasRightChecksum(packet: usize, ip: u32, total: u32): bool {
  return fold(pseudoSum(packet, ip, total - ip) + sum(packet + ip, total - ip)) === 0xffff;
}

/** `length` is that of all behind the IP header. */
function pseudoSum(packet: usize, ip: u32, length: u32): u64 {
  if (ip === 20) return pseudoHeader(packet, length);
  return pseudoHeader6(packet, protocolOf(packet, ip)) + (swap(length) as u64);
}

/** `tcp` is where the TCP header begins, 0 for UDP. */
function addPacket(entry: usize, index: u32, packet: usize, header: u32, payload: u32, all: u32, tcp: usize): void {
  const count = load<u32>(entry, ENTRY_COUNT);
  const iovec: usize = ENTRY_IOVECS + index * ENTRY_IOVECS_BYTES;
  if (count === 1) putIovec(iovec + IOVEC_BYTES, load<u32>(entry, ENTRY_FIRST) + header, load<u32>(entry, ENTRY_SIZE));
  putIovec(iovec + (count + 1) * IOVEC_BYTES, packet + header, payload);
  store<u32>(entry, count + 1, ENTRY_COUNT);
  store<u32>(entry, all, ENTRY_PAYLOAD);
  store<u32>(entry, count + 2, ENTRY_IOVEC_COUNT);
  store<u32>(entry, load<u32>(entry, ENTRY_PACKET_BYTES) + header + payload, ENTRY_PACKET_BYTES);
  let state = load<u32>(entry, ENTRY_STATE);
  if (payload < load<u32>(entry, ENTRY_SIZE)) state |= CLOSED;
  if (tcp !== 0) {
    store<u32>(entry, load<u32>(entry, ENTRY_SEQUENCE) + payload, ENTRY_SEQUENCE);
    if (((load<u16>(tcp, 12) as u32) & PSH) !== 0) state |= CLOSED | PUSH;
  }
  store<u32>(entry, state, ENTRY_STATE);
}

/** Gives the merged entries their headers. Before this an entry's iovecs are not complete. */
export function finishEntries(): void {
  for (let index: u32 = 0; index < entries; index++) {
    const entry = entryAt(index);
    if (load<u32>(entry, ENTRY_COUNT) > 1) finish(entry, index);
  }
}

/** A virtio header and a copy of the first packet's, for the whole: lengths, PSH of the last, and a checksum to be completed. */
function finish(entry: usize, index: u32): void {
  const header = load<u32>(entry, ENTRY_HEADER);
  const total = header + load<u32>(entry, ENTRY_PAYLOAD);
  const first: usize = load<u32>(entry, ENTRY_FIRST);
  const ip = ipLength(first);
  const isTcp = protocolOf(first, ip) === TCP;
  const vnet: usize = ENTRY_HEADERS + index * HEADER_STRIDE;
  store<u8>(vnet, 1); // VIRTIO_NET_HDR_F_NEEDS_CSUM
  store<u8>(vnet, isTcp ? (ip === 20 ? 1 : 4) : 5, 1); // VIRTIO_NET_HDR_GSO_TCPV4, _TCPV6, _UDP_L4
  store<u16>(vnet, header as u16, 2);
  store<u16>(vnet, load<u32>(entry, ENTRY_SIZE) as u16, 4);
  store<u16>(vnet, ip as u16, 6);
  store<u16>(vnet, isTcp ? 16 : 6, 8);
  const packet = vnet + VNET_BYTES;
  memory.copy(packet, first, header);
  if (ip === 20) {
    store<u16>(packet, swap(total) as u16, 2);
    sealHeader(packet, 20);
  } else store<u16>(packet, swap(total - 40) as u16, 4);
  const transport = packet + ip;
  const pseudo = fold(pseudoSum(packet, ip, total - ip)) as u16;
  if (isTcp) {
    if ((load<u32>(entry, ENTRY_STATE) & PUSH) !== 0) store<u8>(transport, load<u8>(transport, 13) | 0x08, 13);
    store<u16>(transport, pseudo, 16);
  } else {
    store<u16>(transport, swap(total - ip) as u16, 4);
    store<u16>(transport, pseudo, 6);
  }
  putIovec(ENTRY_IOVECS + index * ENTRY_IOVECS_BYTES, vnet, VNET_BYTES + header);
}

/** Makes the spare iovecs those of one packet of a merged entry, as it came. Returns its length. */
export function preparePacket(index: u32, which: u32): u32 {
  const entry = entryAt(index);
  const iovec: usize = ENTRY_IOVECS + index * ENTRY_IOVECS_BYTES + (which + 1) * IOVEC_BYTES;
  const packet = ((load<u64>(iovec) - base) as usize) - load<u32>(entry, ENTRY_HEADER);
  const total = load<u32>(entry, ENTRY_HEADER) + load<u32>(iovec, 8);
  putIovec(SPARE_IOVECS, NO_VNET, VNET_BYTES);
  putIovec(SPARE_IOVECS + IOVEC_BYTES, packet, total);
  return total;
}
