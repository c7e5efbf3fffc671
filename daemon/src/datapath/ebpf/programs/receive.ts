/**
 * At the packets that arrive at the external interface: datagrams of peers are taken out of their headers and go to the device. What this
 * program does not take goes to the socket of the engine in user space, and all else its usual way.
 */
import {
  add,
  after,
  and32,
  at,
  call,
  jump,
  jumpIf,
  jumpIf32,
  label,
  load,
  mov,
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
import type { Ipv6 } from '@flannel-ts/inet/ipv6';
import type { Port } from '@flannel-ts/inet/port';
import { PEER, ROUTE } from '../layout.ts';
import {
  copyWords,
  count,
  decrementTimeToLive,
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
  CHECKSUM_LEVEL_DOWN,
  DROP,
  ETHERNET,
  ETHERTYPE,
  IPV4,
  IPV6,
  OUTER,
  PROTOCOL,
  RECOMPUTE_CHECKSUM,
  REDIRECT_INGRESS,
  skb,
} from './skb.ts';
import { addressWord, swap16 } from './words.ts';

export interface ReceiveSettings {
  readonly listen: Ipv4;
  readonly port: Port;
  /** Take only what a peer sends from its own subnets. */
  readonly filterPeers: boolean;
  /** This node's own addresses inside, which nobody else may send from. An absent one: the family is off inside. */
  readonly own: Ipv4 | undefined;
  readonly own6: Ipv6 | undefined;
  readonly delivery: Delivery;
  /** Whether the kernel can be told the inner family (Linux 6.3). Without it, IPv6 super-packets are left to the engine. */
  readonly tellsFamily: boolean;
  /** See SendSettings: notes which peers have programs. */
  readonly leavesChecksums: boolean;
}

/** Through a pair of devices whose far end merges packets of a flow; or into the device one by one. */
export type Delivery = PairDelivery | { readonly kind: 'device'; readonly interfaceIndex: number };

export interface PairDelivery {
  readonly kind: 'pair';
  readonly near: number;
  readonly nearMac: Uint8Array;
  readonly farMac: Uint8Array;
}

const h = ETHERNET;
const INNER = h + OUTER;
const CONGESTED = 3;
const FRAGMENT_BITS = swap16(0x3fff);

const stack = stackSlots({ key: 8, key6: 20, sender: 4, ecn: 4, hops: 2, protocol: 4, checksum: 4 });

/** `others`: where it goes on with what is no datagram for the engine. r6: context, r7: whether the family inside is 6, r8: bytes of the packet inside, r9: the sender's counters or 0. */
export function receiveProgram(settings: ReceiveSettings, others = 'goOn'): Code {
  const { own, own6 } = settings;
  return withHandOvers('in', stack.key, [
    mov('r6', 'r1'),
    recognize(settings, others),
    findSender(settings),
    load('u8', 'r3', at('r2', INNER)),
    ...(own === undefined ? [] : [jumpIf('r3', 'eq', 0x45, 'ipv4')]),
    rsh('r3', 4),
    ...(own6 === undefined ? [] : [jumpIf('r3', 'eq', 6, 'ipv6')]),
    ...(own === undefined ? [] : [jumpIf('r3', 'eq', 4, hand('ip_options'))]),
    jump(hand('not_ip')),
    ...(own === undefined ? [] : [label('ipv4'), ipv4(settings, own)]),
    ...(own6 === undefined ? [] : [label('ipv6'), ipv6(settings, own6)]),
    label('accepted'),
    ...(settings.leavesChecksums && settings.delivery.kind === 'pair' ? [noteSender()] : []),
    segmentFirst(settings.delivery),
    decapsulate(settings),
    account(settings),
    deliver(settings.delivery),
    label('congested'),
    lookUpTotals(stack.key, 'shot'),
    count('dropped congested', 1),
    jump('shot'),
    label('failed'),
    lookUpTotals(stack.key, 'shot'),
    count('dropped write_failed', 1),
    label('shot'),
    returns(DROP),
  ]);
}

/** Datagrams for the engine, in one piece and without IP options: goes on with r2 at the link header, r8 as above. */
function recognize({ listen, port }: ReceiveSettings, others: string): Code {
  return [
    load('u32', 'r3', skb('r6', 'protocol')),
    jumpIf('r3', 'ne', swap16(ETHERTYPE.ipv4), others),
    reach(INNER, others, 'outer'),
    load('u8', 'r3', at('r2', h)),
    jumpIf('r3', 'ne', 0x45, others),
    load('u8', 'r3', at('r2', h + 9)),
    jumpIf('r3', 'ne', PROTOCOL.udp, others),
    load('u16', 'r3', at('r2', h + IPV4 + 2)),
    jumpIf('r3', 'ne', swap16(port), others),
    load('u32', 'r3', at('r2', h + 16)),
    jumpIf32('r3', 'ne', addressWord(listen), others),
    load('u16', 'r3', at('r2', h + 6)),
    and32('r3', FRAGMENT_BITS),
    jumpIf('r3', 'ne', 0, hand('fragment')),
    // One datagram and nothing behind it. Several that the kernel has merged have a length that only the first part gives.
    load('u32', 'r8', skb('r6', 'len')),
    sub('r8', h),
    load('u16', 'r3', at('r2', h + 2)),
    networkOrder('r3', 16),
    jumpIf('r3', 'ne', 'r8', hand('malformed')),
    sub('r8', IPV4),
    load('u16', 'r3', at('r2', h + IPV4 + 4)),
    networkOrder('r3', 16),
    jumpIf('r3', 'ne', 'r8', hand('malformed')),
    sub('r8', OUTER - IPV4),
    verifyHeaderChecksum(h, hand('malformed')),
    reach(INNER + IPV4, hand('malformed'), 'inner'),
  ];
}

function findSender({ filterPeers }: ReceiveSettings): Code {
  return [
    load('u8', 'r3', at('r2', h + 1)),
    and32('r3', CONGESTED),
    store('u32', stack.ecn, 'r3'),
    copyWords(at('r2', h + 12), stack.sender, 1),
    load('u16', 'r3', at('r2', h + IPV4 + 6)),
    store('u32', stack.checksum, 'r3'),
    mov('r9', 0),
    lookUp('peers', stack.sender, filterPeers ? hand('unknown_peer') : 'found'),
    mov('r9', 'r0'),
    label('found'),
    load('u32', 'r2', skb('r6', 'data')),
    load('u32', 'r3', skb('r6', 'dataEnd')),
    mov('r4', 'r2'),
    add('r4', INNER + IPV4),
    jumpIf('r4', 'gt', 'r3', hand('malformed')),
  ];
}

function ipv4({ filterPeers }: ReceiveSettings, own: Ipv4): Code {
  return [
    load('u16', 'r3', at('r2', INNER + 2)),
    networkOrder('r3', 16),
    jumpIf('r3', 'ne', 'r8', hand('malformed')),
    verifyHeaderChecksum(INNER, hand('malformed')),
    load('u8', 'r3', at('r2', INNER + 8)),
    jumpIf('r3', 'le', 1, hand('ttl_expired')),
    judgeCongestion([load('u8', 'r3', at('r2', INNER + 1)), and32('r3', CONGESTED)], 'ecn4'),
    load('u32', 'r3', at('r2', INNER + 12)),
    jumpIf32('r3', 'eq', addressWord(own), hand('spoofed_source')),
    mov('r7', 0),
    load('u8', 'r4', at('r2', INNER + 9)),
    store('u32', stack.protocol, 'r4'),
    ...(filterPeers
      ? [
          store('u32', stack.key, 32),
          store('u32', after(stack.key, 4), 'r3'),
          lookUp('routes4', stack.key, hand('spoofed_source')),
          isSenders(),
        ]
      : []),
    jump('accepted'),
  ];
}

function ipv6({ filterPeers, tellsFamily }: ReceiveSettings, own6: Ipv6): Code {
  const words = [0, 1, 2, 3];
  return [
    reach(INNER + IPV6, hand('malformed'), 'inner6'),
    load('u16', 'r3', at('r2', INNER + 4)),
    networkOrder('r3', 16),
    add('r3', IPV6),
    jumpIf('r3', 'ne', 'r8', hand('malformed')),
    ...(tellsFamily ? [] : [load('u32', 'r3', skb('r6', 'gsoSize')), jumpIf('r3', 'ne', 0, hand('not_segmentable'))]),
    load('u8', 'r3', at('r2', INNER + 7)),
    jumpIf('r3', 'le', 1, hand('ttl_expired')),
    judgeCongestion([load('u8', 'r3', at('r2', INNER + 1)), rsh('r3', 4), and32('r3', CONGESTED)], 'ecn6'),
    load('u8', 'r3', at('r2', INNER + 6)),
    store('u32', stack.protocol, 'r3'),
    store('u32', stack.key6, 128),
    copyWords(at('r2', INNER + 8), after(stack.key6, 4), 4),
    ...words.flatMap((word) => [
      load('u32', 'r3', after(stack.key6, 4 + word * 4)),
      jumpIf32('r3', 'ne', addressWord(own6, word), 'notOwn6'),
    ]),
    jump(hand('spoofed_source')),
    label('notOwn6'),
    mov('r7', 1),
    ...(filterPeers ? [lookUp('routes6', stack.key6, hand('spoofed_source')), isSenders()] : []),
  ];
}

/** A mark of the way on a packet whose sender would not understand it stands for a loss (RFC 6040, 4.2). r3: the field inside. */
function judgeCongestion(inside: Code, name: string): Code {
  return [
    load('u32', 'r4', stack.ecn),
    jumpIf('r4', 'ne', CONGESTED, `${name}:fine`),
    inside,
    jumpIf('r3', 'eq', 0, 'congested'),
    label(`${name}:fine`),
  ];
}

/** The route at r0 leads to the sender. */
function isSenders(): Code {
  return [
    load('u32', 'r3', at('r0', ROUTE.peer)),
    load('u32', 'r4', stack.sender),
    jumpIf('r3', 'ne', 'r4', hand('spoofed_source')),
  ];
}

/** Programs send without a checksum of UDP, sockets with one. What they took is plain: an engine beside them would not have sent it. */
function noteSender(): Code {
  return [
    lookUp('receivers', stack.sender, 'noted'),
    mov('r3', 0),
    load('u32', 'r4', stack.checksum),
    jumpIf('r4', 'ne', 0, 'note'),
    mov('r3', 1),
    label('note'),
    load('u64', 'r4', at('r0')),
    jumpIf('r3', 'eq', 'r4', 'noted'),
    store('u64', at('r0'), 'r3'),
    label('noted'),
  ];
}

/**
 * A super-packet of UDP in a tunnel, which only virtual links carry whole, keeps the marks of the tunnel when it is taken out of it, and the kernel
 * could segment it no more. It goes to the pair as it came: there it is segmented, and the program at the far end takes the segments out.
 */
function segmentFirst(delivery: Delivery): Code {
  if (delivery.kind === 'device') return [];
  return [
    load('u32', 'r3', skb('r6', 'gsoSize')),
    jumpIf('r3', 'eq', 0, 'single'),
    load('u32', 'r3', stack.protocol),
    jumpIf('r3', 'ne', PROTOCOL.udp, 'single'),
    throughPair(delivery, 'failed'),
    label('single'),
  ];
}

function decapsulate({ own6, tellsFamily }: ReceiveSettings): Code {
  const flags = ADJUST.fixedGso | ADJUST.keepChecksum;
  return [
    mov('r1', 'r6'),
    mov('r2', -OUTER),
    mov('r3', ADJUST_BEHIND_LINK_HEADER),
    mov('r4', flags | (tellsFamily ? ADJUST.innerIpv4 : 0)),
    ...(own6 === undefined
      ? []
      : [jumpIf('r7', 'eq', 0, 'told'), mov('r4', flags | (tellsFamily ? ADJUST.innerIpv6 : 0)), label('told')]),
    call('skb_adjust_room'),
    jumpIf('r0', 'ne', 0, 'failed'),
    // What the device found right was the outer checksum.
    mov('r1', 'r6'),
    mov('r2', CHECKSUM_LEVEL_DOWN),
    call('csum_level'),
    load('u32', 'r3', stack.ecn),
    jumpIf('r3', 'ne', CONGESTED, 'unmarked'),
    mov('r1', 'r6'),
    call('skb_ecn_set_ce'),
    label('unmarked'),
    load('u32', 'r2', skb('r6', 'data')),
    load('u32', 'r3', skb('r6', 'dataEnd')),
    mov('r4', 'r2'),
    add('r4', h + IPV4),
    jumpIf('r4', 'gt', 'r3', 'failed'),
    ...(own6 === undefined ? [] : [jumpIf('r7', 'ne', 0, 'older6')]),
    decrementTimeToLive(h, 'older4'),
    store('u16', at('r2', 12), swap16(ETHERTYPE.ipv4)),
    ...(own6 === undefined ? [] : [jump('older'), label('older6'), decrementHopLimit(), label('older')]),
  ];
}

/** There is no checksum in the header that would make up for it in the one that the device may have made of the whole packet. */
function decrementHopLimit(): Code {
  return [
    store('u16', at('r2', 12), swap16(ETHERTYPE.ipv6)),
    load('u16', 'r3', at('r2', h + 6)),
    networkOrder('r3', 16),
    sub('r3', 1),
    networkOrder('r3', 16),
    store('u16', stack.hops, 'r3'),
    mov('r1', 'r6'),
    mov('r2', h + 6),
    pointerTo('r3', stack.hops),
    mov('r4', 2),
    mov('r5', RECOMPUTE_CHECKSUM),
    call('skb_store_bytes'),
    jumpIf('r0', 'ne', 0, 'failed'),
  ];
}

function account({ filterPeers }: ReceiveSettings): Code {
  return [
    lookUpTotals(stack.key, 'totalled'),
    count('deliveredPackets', 1),
    count('deliveredBytes', 'r8'),
    label('totalled'),
    // Where only peers are let in, it is there.
    ...(filterPeers ? [] : [jumpIf('r9', 'eq', 0, 'accounted')]),
    increment(at('r9', PEER.receivedPackets), 1),
    increment(at('r9', PEER.receivedBytes), 'r8'),
    label('accounted'),
  ];
}

function deliver(delivery: Delivery): Code {
  if (delivery.kind === 'pair') return throughPair(delivery, 'failed');
  return intoDevice(delivery.interfaceIndex);
}

function intoDevice(interfaceIndex: number): Code {
  return [mov('r1', interfaceIndex), mov('r2', REDIRECT_INGRESS), call('redirect'), returns('r0')];
}

function throughPair(delivery: PairDelivery, failed: string): Code {
  const macs = Buffer.concat([delivery.farMac, delivery.nearMac]);
  return [
    load('u32', 'r2', skb('r6', 'data')),
    load('u32', 'r3', skb('r6', 'dataEnd')),
    mov('r4', 'r2'),
    add('r4', ETHERNET),
    jumpIf('r4', 'gt', 'r3', failed),
    ...[0, 2, 4, 6, 8, 10].map((offset) => store('u16', at('r2', offset), macs.readUInt16LE(offset))),
    mov('r1', delivery.near),
    mov('r2', 0),
    call('redirect'),
    returns('r0'),
  ];
}

/**
 * At the far end of the pair: what was merged goes to the device, where firewalls and captures expect it. Datagrams are segments of what
 * segmentFirst() sent here.
 */
export function mergedProgram(settings: Omit<ReceiveSettings, 'delivery'>, interfaceIndex: number): Code {
  const receive = receiveProgram({ ...settings, delivery: { kind: 'device', interfaceIndex } }, 'merged');
  return [receive, label('merged'), intoDevice(interfaceIndex)];
}
