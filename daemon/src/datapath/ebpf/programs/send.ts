/**
 * At the packets that the kernel sends into the device: those that need nothing special are encapsulated and sent on. All checks come before the
 * first change, so that the engine in user space gets the others as they are.
 */
import {
  add,
  after,
  and32,
  at,
  call,
  clear,
  div,
  jump,
  jumpIf,
  label,
  load,
  lsh,
  mov,
  mul,
  networkOrder,
  pointerTo,
  returns,
  rsh,
  store,
  sub,
} from '@flannel-ts/bpf/assembler';
import type { Code } from '@flannel-ts/bpf/instruction';
import { stackSlots } from '@flannel-ts/bpf/stack';
import type { Ipv4 } from '@flannel-ts/inet/ipv4';
import type { Port } from '@flannel-ts/inet/port';
import { PEER, ROUTE } from '../layout.ts';
import {
  copyWords,
  count,
  decrementTimeToLive,
  finishChecksum,
  hand,
  increment,
  lookUp,
  lookUpTotals,
  reach,
  verifyHeaderChecksum,
  withHandOvers,
} from './parts.ts';
import {
  ADJUST,
  ADJUST_BEHIND_LINK_HEADER,
  AF_INET,
  DROP,
  ETHERNET,
  FIB,
  FIB_BYTES,
  FIB_FRAGMENTATION_NEEDED,
  IPV4,
  IPV6,
  NEXT_EXTENSIONS,
  OUTER,
  PROTOCOL,
  skb,
  UDP,
} from './skb.ts';
import { addressWord, sumOf, swap16 } from './words.ts';

export interface SendSettings {
  /** Bytes before each packet: a TUN device has none, packets of tests have 14. */
  readonly linkHeader: 0 | typeof ETHERNET;
  /** The interface that leads to peers. */
  readonly external: number;
  readonly listen: Ipv4;
  readonly port: Port;
  /** Whether the overlay carries IPv6. */
  readonly ipv6: boolean;
  /**
   * Whether the link may leave checksums to who receives, as between virtual machines and namespaces. A kernel that takes a packet out of its
   * datagram knows; who reads datagrams from a socket gets packets with half a checksum. So packets with such checksums go to peers only that have
   * shown by their own datagrams that programs are at work there.
   */
  readonly leavesChecksums: boolean;
  /** UDP ports to send from, by flow: so many from `port` on, or from `firstSource` on. */
  readonly sources: SourcePorts;
}

export interface SourcePorts {
  readonly first: number;
  /** A power of two. */
  readonly count: number;
}

const TIME_TO_LIVE = 64;
const DONT_FRAGMENT = 0x4000;
/** MORE_FRAGMENTS and the offset, as loaded. */
const FRAGMENT_BITS = swap16(0x3fff);
/** The largest IPv4 packet. */
const MAX_LENGTH = 65535;

const stack = stackSlots({
  key: 8,
  key6: 20,
  fib: FIB_BYTES,
  neighbour: 20,
  largest: 4,
  segment: 4,
  segments: 8,
  bytes: 8,
  hash: 4,
});

/** r6: context, r7: the peer's address, r8: length of the packet, r9: length of its headers, then bytes in segments. */
export function sendProgram(settings: SendSettings): Code {
  const h = settings.linkHeader;
  return withHandOvers('out', stack.key, [
    mov('r6', 'r1'),
    load('u32', 'r8', skb('r6', 'len')),
    sub('r8', h),
    jumpIf('r8', 'gt', MAX_LENGTH - OUTER, hand('not_segmentable')),
    reach(h + IPV4, hand('malformed'), 'header'),
    load('u8', 'r3', at('r2', h)),
    jumpIf('r3', 'eq', 0x45, 'ipv4'),
    rsh('r3', 4),
    ...(settings.ipv6 ? [jumpIf('r3', 'eq', 6, 'ipv6')] : []),
    jumpIf('r3', 'eq', 4, hand('ip_options')),
    jump(hand('not_ip')),
    label('ipv4'),
    ipv4(settings),
    ...(settings.ipv6 ? [label('ipv6'), ipv6(settings)] : []),
    label('routed'),
    load('u32', 'r7', at('r0', ROUTE.peer)),
    load('u32', 'r4', at('r0', ROUTE.largest)),
    store('u32', stack.largest, 'r4'),
    ...(settings.leavesChecksums ? [checkReceiver()] : []),
    measure(h),
    findPath(settings),
    countSegments(),
    encapsulate(settings),
    account(),
    redirect(),
    label('failed'),
    lookUpTotals(stack.key, 'shot'),
    count('dropped send_failed', 1),
    label('shot'),
    returns(DROP),
  ]);
}

/** r0: the route; r9: bytes before the transport header; the transport protocol in stack.hash. */
function ipv4({ linkHeader: h, port }: SendSettings): Code {
  return [
    load('u16', 'r3', at('r2', h + 6)),
    and32('r3', FRAGMENT_BITS),
    jumpIf('r3', 'ne', 0, hand('fragment')),
    load('u16', 'r3', at('r2', h + 2)),
    networkOrder('r3', 16),
    jumpIf('r3', 'ne', 'r8', hand('malformed')),
    verifyHeaderChecksum(h, hand('malformed')),
    load('u8', 'r3', at('r2', h + 8)),
    jumpIf('r3', 'le', 1, hand('ttl_expired')),
    load('u8', 'r9', at('r2', h + 9)),
    store('u32', stack.key, 32),
    copyWords(at('r2', h + 16), after(stack.key, 4), 1),
    // A datagram to a peer that the kernel routed here: encapsulated again, it would come back for ever.
    jumpIf('r9', 'ne', PROTOCOL.udp, 'noLoop'),
    reach(h + IPV4 + 4, 'noLoop', 'ports'),
    load('u16', 'r3', at('r2', h + IPV4 + 2)),
    jumpIf('r3', 'ne', swap16(port), 'noLoop'),
    lookUp('peers', after(stack.key, 4), 'noLoop'),
    jump(hand('encapsulation_loop')),
    label('noLoop'),
    store('u32', stack.hash, 'r9'),
    mov('r9', IPV4),
    lookUp('routes4', stack.key, hand('no_route')),
    jump('routed'),
  ];
}

function ipv6({ linkHeader: h }: SendSettings): Code {
  return [
    reach(h + IPV6, hand('malformed'), 'header6'),
    load('u16', 'r3', at('r2', h + 4)),
    networkOrder('r3', 16),
    add('r3', IPV6),
    jumpIf('r3', 'ne', 'r8', hand('malformed')),
    load('u8', 'r9', at('r2', h + 6)),
    ...NEXT_EXTENSIONS.map((next) => jumpIf('r9', 'eq', next, hand('ip_options'))),
    load('u8', 'r3', at('r2', h + 7)),
    jumpIf('r3', 'le', 1, hand('ttl_expired')),
    store('u32', stack.key6, 128),
    copyWords(at('r2', h + 24), after(stack.key6, 4), 4),
    store('u32', stack.hash, 'r9'),
    mov('r9', IPV6),
    lookUp('routes6', stack.key6, hand('no_route')),
  ];
}

/** Checksums of ICMP are never left to others. */
function checkReceiver(): Code {
  return [
    load('u32', 'r3', stack.hash),
    jumpIf('r3', 'eq', PROTOCOL.icmp, 'receives'),
    jumpIf('r3', 'eq', PROTOCOL.icmp6, 'receives'),
    store('u32', stack.key, 'r7'),
    lookUp('receivers', stack.key, hand('unknown_receiver')),
    load('u64', 'r3', at('r0')),
    jumpIf('r3', 'eq', 0, hand('unknown_receiver')),
    label('receives'),
  ];
}

/** What the largest packet on the wire is, of those that a super-packet becomes; and whether it fits. */
function measure(h: number): Code {
  return [
    store('u64', stack.segments, 1),
    store('u64', stack.bytes, 'r8'),
    load('u32', 'r1', skb('r6', 'gsoSize')),
    jumpIf('r1', 'ne', 0, 'super'),
    mov('r3', 'r8'),
    jump('measured'),
    label('super'),
    // r9 becomes all headers of a segment.
    load('u32', 'r3', stack.hash),
    jumpIf('r3', 'eq', PROTOCOL.udp, 'superUdp'),
    jumpIf('r3', 'ne', PROTOCOL.tcp, hand('not_segmentable')),
    jumpIf('r9', 'eq', IPV6, 'superTcp6'),
    reach(h + IPV4 + 20, hand('malformed'), 'tcp4'),
    load('u8', 'r3', at('r2', h + IPV4 + 12)),
    jump('superTcp'),
    label('superTcp6'),
    reach(h + IPV6 + 20, hand('malformed'), 'tcp6'),
    load('u8', 'r3', at('r2', h + IPV6 + 12)),
    label('superTcp'),
    rsh('r3', 4),
    lsh('r3', 2),
    add('r9', 'r3'),
    jump('superMeasured'),
    label('superUdp'),
    add('r9', UDP),
    label('superMeasured'),
    load('u32', 'r1', skb('r6', 'gsoSize')),
    mov('r3', 'r9'),
    add('r3', 'r1'),
    label('measured'),
    load('u32', 'r4', stack.largest),
    jumpIf('r3', 'gt', 'r4', hand('too_big')),
    store('u32', stack.segment, 'r3'),
  ];
}

/**
 * Asks the kernel for the route to the peer, with the length of the longest datagram. What leads elsewhere, or to a link address that
 * is not known yet, the engine's socket handles better.
 */
function findPath({ external, listen, port }: SendSettings): Code {
  const { fib } = stack;
  return [
    clear(fib, FIB_BYTES),
    store('u8', after(fib, FIB.family), AF_INET),
    store('u8', after(fib, FIB.protocol), PROTOCOL.udp),
    store('u16', after(fib, FIB.port), swap16(port)),
    load('u32', 'r3', stack.segment),
    add('r3', OUTER),
    store('u16', after(fib, FIB.totalLength), 'r3'),
    store('u32', after(fib, FIB.ifindex), external),
    store('u32', after(fib, FIB.source), addressWord(listen)),
    store('u32', after(fib, FIB.destination), 'r7'),
    mov('r1', 'r6'),
    pointerTo('r2', fib),
    mov('r3', FIB_BYTES),
    mov('r4', 0),
    call('fib_lookup'),
    jumpIf('r0', 'eq', FIB_FRAGMENTATION_NEEDED, hand('too_big')),
    jumpIf('r0', 'eq', 7, hand('no_neighbour')),
    jumpIf('r0', 'ne', 0, hand('no_path')),
    load('u32', 'r3', after(fib, FIB.ifindex)),
    jumpIf('r3', 'ne', external, hand('no_path')),
  ];
}

/** Segments, and the bytes of all of them with their headers. */
function countSegments(): Code {
  return [
    load('u32', 'r4', skb('r6', 'gsoSize')),
    jumpIf('r4', 'eq', 0, 'counted'),
    mov('r3', 'r8'),
    sub('r3', 'r9'),
    add('r3', 'r4'),
    sub('r3', 1),
    div('r3', 'r4'),
    jumpIf('r3', 'eq', 0, 'counted'),
    store('u64', stack.segments, 'r3'),
    sub('r3', 1),
    mul('r3', 'r9'),
    add('r3', 'r8'),
    store('u64', stack.bytes, 'r3'),
    label('counted'),
  ];
}

function encapsulate({ linkHeader: h, listen, port, sources }: SendSettings): Code {
  const flags = ADJUST.fixedGso | ADJUST.outerIpv4 | ADJUST.outerUdp | ADJUST.keepChecksum;
  const fixed = 0x4500 + DONT_FRAGMENT + TIME_TO_LIVE * 256 + PROTOCOL.udp + sumOf(listen);
  const udp = h + IPV4;
  return [
    // Of the flow inside: not that of the tunnel.
    mov('r1', 'r6'),
    call('get_hash_recalc'),
    store('u32', stack.hash, 'r0'),
    mov('r1', 'r6'),
    mov('r2', OUTER),
    mov('r3', ADJUST_BEHIND_LINK_HEADER),
    mov('r4', flags),
    call('skb_adjust_room'),
    // It refuses before it changes anything.
    jumpIf('r0', 'ne', 0, hand('not_segmentable')),
    load('u32', 'r2', skb('r6', 'data')),
    load('u32', 'r3', skb('r6', 'dataEnd')),
    mov('r4', 'r2'),
    add('r4', h + OUTER + IPV4),
    jumpIf('r4', 'gt', 'r3', 'failed'),
    // r4: the length of the datagram.
    mov('r4', 'r8'),
    add('r4', OUTER),
    mov('r5', 'r4'),
    add('r5', fixed),
    store('u16', at('r2', h), swap16(0x4500)),
    networkOrder('r4', 16),
    store('u16', at('r2', h + 2), 'r4'),
    store('u16', at('r2', h + 4), 0),
    store('u16', at('r2', h + 6), swap16(DONT_FRAGMENT)),
    store('u16', at('r2', h + 8), swap16(TIME_TO_LIVE * 256 + PROTOCOL.udp)),
    mov('r3', 'r7'),
    networkOrder('r3', 32),
    mov('r4', 'r3'),
    and32('r4', 0xffff),
    add('r5', 'r4'),
    rsh('r3', 16),
    add('r5', 'r3'),
    finishChecksum('r5', 'r4'),
    store('u16', at('r2', h + 10), 'r5'),
    store('u32', at('r2', h + 12), addressWord(listen)),
    store('u32', at('r2', h + 16), 'r7'),
    load('u32', 'r3', stack.hash),
    and32('r3', sources.count - 1),
    add('r3', sources.first),
    networkOrder('r3', 16),
    store('u16', at('r2', udp), 'r3'),
    store('u16', at('r2', udp + 2), swap16(port)),
    mov('r4', 'r8'),
    add('r4', UDP),
    networkOrder('r4', 16),
    store('u16', at('r2', udp + 4), 'r4'),
    store('u16', at('r2', udp + 6), 0),
    // The packet inside is one hop older.
    load('u8', 'r3', at('r2', h + OUTER)),
    jumpIf('r3', 'ne', 0x45, 'older6'),
    decrementTimeToLive(h + OUTER, 'older4'),
    jump('older'),
    label('older6'),
    load('u8', 'r3', at('r2', h + OUTER + 7)),
    add('r3', -1),
    store('u8', at('r2', h + OUTER + 7), 'r3'),
    label('older'),
    // A redirection takes packets with a link header only; the kernel writes the right one.
    ...(h === 0
      ? [mov('r1', 'r6'), mov('r2', ETHERNET), mov('r3', 0), call('skb_change_head'), jumpIf('r0', 'ne', 0, 'failed')]
      : []),
  ];
}

function account(): Code {
  return [
    load('u64', 'r8', stack.segments),
    load('u64', 'r9', stack.bytes),
    lookUpTotals(stack.key, 'totalled'),
    count('sentPackets', 'r8'),
    count('sentBytes', 'r9'),
    jumpIf('r8', 'eq', 1, 'totalled'),
    count('superPackets', 1),
    label('totalled'),
    store('u32', stack.key, 'r7'),
    lookUp('peers', stack.key, 'accounted'),
    increment(at('r0', PEER.sentPackets), 'r8'),
    increment(at('r0', PEER.sentBytes), 'r9'),
    label('accounted'),
  ];
}

/** To the next hop that the look-up found: the kernel keeps its link address fresh. */
function redirect(): Code {
  const { fib, neighbour } = stack;
  return [
    load('u8', 'r3', after(fib, FIB.family)),
    store('u32', neighbour, 'r3'),
    ...[0, 4, 8, 12].flatMap((word) => [
      load('u32', 'r3', after(fib, FIB.destination + word)),
      store('u32', after(neighbour, 4 + word), 'r3'),
    ]),
    load('u32', 'r1', after(fib, FIB.ifindex)),
    pointerTo('r2', neighbour),
    mov('r3', 20),
    mov('r4', 0),
    call('redirect_neigh'),
    returns('r0'),
  ];
}
