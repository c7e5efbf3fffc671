/** What programs and control side share: the maps, and what their keys and values mean. */
import type { MapSpec } from '@flannel-ts/bpf/map';

/** Of one meaning of the maps: a flanneld that has another one makes new maps beside these. */
export const LAYOUT_VERSION = 1;

/** Why a packet was left to the engine in user space; the position is that in memory: append only. */
export const HANDED_OVER = [
  'not_ip', // no IPv4 and no IPv6, or IPv6 where it is off
  'ip_options', // IPv4 options, IPv6 extension headers
  'fragment',
  'malformed', // lengths or checksum
  'ttl_expired',
  'no_route', // no peer has the destination
  'too_big', // for the overlay or the path
  'encapsulation_loop',
  'no_path', // no way to the peer, or by another interface
  'no_neighbour', // its link address is not known yet
  'not_segmentable', // the kernel cannot encapsulate it whole
  'unknown_peer',
  'spoofed_source',
  'unknown_receiver', // the peer may receive in user space, and the link may leave checksums to it
] as const;
export type HandedOver = (typeof HANDED_OVER)[number];

export const DROPPED = [
  'send_failed', // no memory for the outer header
  'write_failed', // none to take it off
  'congested', // marked on the way as congestion, from a sender that does not know of it: RFC 6040, 4.2
] as const;
export type DroppedInKernel = (typeof DROPPED)[number];

const TOTALS = [
  'sentPackets',
  'sentBytes',
  'deliveredPackets',
  'deliveredBytes',
  'superPackets',
  'wholeSends',
] as const;
export type KernelTotal = (typeof TOTALS)[number];

/** Each a number of 64 bits, one after the other in the one value of `totals`. Outgoing and incoming are handed over apart. */
export const COUNTERS = [
  ...TOTALS,
  ...DROPPED.map((reason) => `dropped ${reason}` as const),
  ...HANDED_OVER.map((reason) => `out ${reason}` as const),
  ...HANDED_OVER.map((reason) => `in ${reason}` as const),
] as const;
export type CounterName = (typeof COUNTERS)[number];

export function counterOffset(name: CounterName): number {
  return COUNTERS.indexOf(name) * 8;
}
export const COUNTERS_BYTES = COUNTERS.length * 8;

/** { u8 peer[4]; u32 largest; }: where to, and the largest packet. */
export const ROUTE = { peer: 0, largest: 4, bytes: 8 } as const;

/** Numbers of 64 bits. */
export const PEER = { sentPackets: 0, sentBytes: 8, receivedPackets: 16, receivedBytes: 24, bytes: 32 } as const;

/** As the engines: a /8 network cut into /24 subnets. */
const MAX_ROUTES = 65536;

export const MAPS = {
  routes4: { type: 'lpm-trie', name: 'fl_routes4', keyBytes: 8, valueBytes: ROUTE.bytes, maxEntries: MAX_ROUTES },
  routes6: { type: 'lpm-trie', name: 'fl_routes6', keyBytes: 20, valueBytes: ROUTE.bytes, maxEntries: MAX_ROUTES },
  // Memory for each processor: taken as peers come.
  peers: {
    type: 'per-cpu-hash',
    name: 'fl_peers',
    keyBytes: 4,
    valueBytes: PEER.bytes,
    maxEntries: MAX_ROUTES,
    preallocated: false,
  },
  // Whether the last plain datagram of a peer came from programs.
  receivers: {
    type: 'hash',
    name: 'fl_receivers',
    keyBytes: 4,
    valueBytes: 8,
    maxEntries: MAX_ROUTES,
    preallocated: false,
  },
  totals: { type: 'per-cpu-array', name: 'fl_totals', keyBytes: 4, valueBytes: COUNTERS_BYTES, maxEntries: 1 },
} as const satisfies Record<string, MapSpec>;
export type MapName = keyof typeof MAPS;
