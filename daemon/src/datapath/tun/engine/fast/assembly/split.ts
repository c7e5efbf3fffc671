/* Device -> socket: what a read of the device brought becomes packets for the wire. Super-packets are segmented. */
import { fold, sum, swap } from './checksum';
import { cutTcp, cutUdp, notZero, TCP, UDP } from './cut';
import { fragmentsOf, putFragments } from './fragment';
import {
  ipv6,
  isPeerAddress,
  limitOf,
  mtu,
  nameBytes,
  ownerOf6,
  peerOfDestination,
  port,
  sources,
  tunAddress,
} from './host';
import { checkHeader, decrementTimeToLive, headerLength, totalLength } from './ipv4';
import { checkHeader6, decrementHopLimit, isIpv6, isOwnAddress6, totalLength6 } from './ipv6';
import {
  ENCAPSULATION_LOOP,
  HEADER_STRIDE,
  MALFORMED,
  MAX_SEGMENTS,
  NO_ROUTE,
  PLAN_FULL,
  TOO_BIG,
  TTL_EXPIRED,
  VNET_BYTES,
} from './layout';
import { addIovec, addSegment, hasRoom, nextHeaders, selectPlan } from './plan';
import { sourceOf } from './source';

/** The largest IPv4 datagram less its IPv4 and UDP headers. */
const MAX_PAYLOAD: u32 = 65535 - 20 - 8;

/** RFC 8200 5: the MTU that every IPv6 link supports. */
const MIN_IPV6_MTU: u32 = 1280;
const SOCKADDR_IN6_BYTES: u32 = 28;
/** The extension header of a fragment. */
const FRAGMENT: u32 = 44;

// linux/virtio_net.h
const NEEDS_CSUM: u32 = 1;
const GSO_TCPV4: u32 = 1;
const GSO_TCPV6: u32 = 4;
const GSO_UDP_L4: u32 = 5;
const GSO_ECN: u32 = 0x80;

// Of the word at 6, in the processor's order.
const MORE_FRAGMENTS_OR_OFFSET: u32 = 0xff3f;
const FRAGMENT_OFFSET: u16 = 0xff1f;

// Of the last packet given to outgoing(), whatever became of it: as packets and bytes on the wire.
let wirePackets: u32 = 0;
let wireBytes: u32 = 0;
/** The peer that the last packet judged goes to. */
let target: u32 = 0;

export function outgoingPackets(): u32 {
  return wirePackets;
}

export function outgoingBytes(): u32 {
  return wireBytes;
}

/**
 * Plans a packet that was read at `packet`, behind a virtio header if `vnet`. 0 if it is in the plan, its TTL decremented; else the
 * reason why not, and the packet is unchanged.
 */
export function outgoing(packet: usize, length: u32, vnet: bool): i32 {
  wirePackets = 1;
  wireBytes = length;
  if (!hasRoom(1)) return PLAN_FULL;
  const six = ipv6 && isIpv6(packet, length);
  const broken = six ? checkHeader6(packet, length) : checkHeader(packet, length);
  if (broken < 0) return broken;
  const total = six ? totalLength6(packet) : totalLength(packet);
  const type = vnet ? (load<u8>(packet - VNET_BYTES + 1) as u32) & ~GSO_ECN : 0;
  if (type !== 0) return outgoingSuper(packet, six, type, total);

  const verdict = judge(packet, six, total, total);
  if (verdict < 0) return verdict;
  if (vnet && ((load<u8>(packet - VNET_BYTES) as u32) & NEEDS_CSUM) !== 0) {
    const start = load<u16>(packet - VNET_BYTES + 6) as u32;
    const field = start + (load<u16>(packet - VNET_BYTES + 8) as u32);
    if (field + 2 > total) return MALFORMED;
    // The field holds the folded sum of the pseudo header. For TCP both forms of zero are right.
    store<u16>(packet + field, notZero(~fold(sum(packet + start, total - start))));
  }
  if (sources > 1) selectPlan(sourceOf(packet, six));
  const largest = largestPart(packet, six);
  if (total > largest) {
    const ip = headerLength(packet);
    if (!hasRoom(fragmentsOf(ip, total, largest))) return PLAN_FULL;
    age(packet, six);
    const to: usize = nextHeaders();
    memory.copy(to, packet, ip);
    putFragments(target, to, ip, ip, packet + ip, total - ip, largest);
    return 0;
  }
  age(packet, six);
  addIovec(packet, total);
  addSegment(target, total, 1);
  return 0;
}

/** largestPart of forward.ts, for `target`. */
function largestPart(packet: usize, six: bool): u32 {
  const limit = limitOf(target);
  return limit < mtu && mayFragment(packet, six) ? limit : MAX_PAYLOAD;
}

function mayFragment(packet: usize, six: bool): bool {
  return !six && (load<u8>(packet, 6) & 0x40) === 0;
}

/** judgeOutgoing of forward.ts, behind the check of the header. `largest` is the longest packet to be sent. */
function judge(packet: usize, six: bool, total: u32, largest: u32): i32 {
  if (isOwnDatagram(packet, six, total)) return ENCAPSULATION_LOOP;
  target = six ? ownerOf6(packet + 24) : peerOfDestination(bswap<u32>(load<u32>(packet, 16)));
  if (target === 0) return NO_ROUTE;
  if (load<u8>(packet + (six ? 7 : 8)) <= 1) return TTL_EXPIRED;
  if (largest <= (mayFragment(packet, six) ? MAX_PAYLOAD : limitFor(six))) return 0;
  return largest <= mtu && isProbe(packet, six) ? 0 : TOO_BIG;
}

/** isProbe of forward.ts, of a packet longer than a limit. */
function isProbe(packet: usize, six: bool): bool {
  if (six) return load<u8>(packet, 6) === 58 && load<u8>(packet, 40) === 128 && isOwnAddress6(packet + 8);
  if (load<u8>(packet, 9) !== 1 || (load<u16>(packet, 6) & FRAGMENT_OFFSET) !== 0) return false;
  if (tunAddress === 0 || bswap<u32>(load<u32>(packet, 12)) !== tunAddress) return false;
  return load<u8>(packet + headerLength(packet)) === 8;
}

/** largestPacket of forward.ts, for `target`. */
function limitFor(six: bool): u32 {
  const limit = limitOf(target);
  return six ? max(limit, min(mtu, MIN_IPV6_MTU)) : limit;
}

/** isOwnDatagram of forward.ts. */
function isOwnDatagram(packet: usize, six: bool, total: u32): bool {
  if (six) return isOwnDatagram6(packet, total);
  if (load<u8>(packet, 9) !== (UDP as u8) || nameBytes === SOCKADDR_IN6_BYTES) return false;
  const isFirst = (load<u16>(packet, 6) & FRAGMENT_OFFSET) === 0;
  return (!isFirst || isToPort(packet, headerLength(packet), total)) && isPeerAddress(packet + 16);
}

/** The kernel's own datagrams have no extension header but that of a fragment. */
function isOwnDatagram6(packet: usize, total: u32): bool {
  if (nameBytes !== SOCKADDR_IN6_BYTES) return false;
  let at: u32 = 40;
  let isFirst = true;
  let protocol = load<u8>(packet, 6) as u32;
  if (protocol === FRAGMENT && total >= 48) {
    protocol = load<u8>(packet, 40) as u32;
    isFirst = swap(load<u16>(packet, 42)) >>> 3 === 0;
    at = 48;
  }
  if (protocol !== UDP) return false;
  return (!isFirst || isToPort(packet, at, total)) && isPeerAddress(packet + 24);
}

/** Whether the UDP header at `at` is to the port of the peers. */
function isToPort(packet: usize, at: u32, total: u32): bool {
  return at + 4 <= total && swap(load<u16>(packet + at, 2)) === port;
}

function age(packet: usize, six: bool): void {
  if (six) decrementHopLimit(packet);
  else decrementTimeToLive(packet);
}

/**
 * The transport header of IPv6 is where the virtio header has csum_start: behind extension headers, if there are any. Its hdr_len
 * is not to be relied on: forwarded packets have that of their whole first packet there.
 */
function outgoingSuper(packet: usize, six: bool, type: u32, total: u32): i32 {
  const size = load<u16>(packet - VNET_BYTES + 4) as u32;
  const ip = six ? (load<u16>(packet - VNET_BYTES + 6) as u32) : headerLength(packet);
  const isTcp = type === ((six ? GSO_TCPV6 : GSO_TCPV4) as u32);
  if (size === 0 || !(isTcp || type === GSO_UDP_L4)) return MALFORMED;
  if (six ? ip < 40 : !isWhole(packet, isTcp ? TCP : UDP)) return MALFORMED;
  const header = ip + (isTcp ? tcpLength(packet, ip, total) : 8);
  if (header <= ip || header > total || header > (HEADER_STRIDE as u32)) return MALFORMED;
  const payload = total - header;
  const count = payload === 0 ? 1 : (payload + size - 1) / size;
  if (count > MAX_SEGMENTS) return MALFORMED;
  wirePackets = count;
  wireBytes = total + (count - 1) * header;
  if (!hasRoom(count)) return PLAN_FULL;

  const longest = header + min(size, payload);
  const verdict = judge(packet, six, total, longest);
  if (verdict < 0) return verdict;
  const largest = largestPart(packet, six);
  if (longest > largest) {
    const most = (count as u32) * fragmentsOf(ip, longest, largest);
    if (most > (MAX_SEGMENTS as u32)) return MALFORMED;
    if (!hasRoom(most)) return PLAN_FULL;
  }
  if (sources > 1) selectPlan(sourceOf(packet, six));
  age(packet, six);
  if (isTcp) cutTcp(packet, target, six, ip, header, total, size, largest);
  else cutUdp(packet, target, six, ip, header, total, size, largest);
  return 0;
}

/** Whether an IPv4 packet is no fragment, and of this protocol. */
function isWhole(packet: usize, protocol: u32): bool {
  return (load<u8>(packet, 9) as u32) === protocol && ((load<u16>(packet, 6) as u32) & MORE_FRAGMENTS_OR_OFFSET) === 0;
}

/** Of the TCP header behind `ip` bytes, 0 when it cannot be one. */
function tcpLength(packet: usize, ip: u32, total: u32): u32 {
  if (ip + 20 > total) return 0;
  const length = ((load<u8>(packet + ip, 12) as u32) >>> 4) << 2;
  return length >= 20 ? length : 0;
}
