/**
 * Which of its source ports an engine sends a packet from: by a hash of the packet's flow, so that a tunnel is many flows for queues of
 * network cards, for ECMP and for a cloud's limit per flow, and each flow of pods stays in order. No receiver looks at the port.
 */
import type { Header } from './header.ts';
import { address, word } from './ipv4-header.ts';
import { IPV6_HEADER, IPV6_SOURCE, isExtension } from './ipv6-header.ts';

const TCP = 6;
const UDP = 17;
const SCTP = 132;

const MORE_FRAGMENTS_OR_OFFSET = 0x3fff;

/** A number below `sources`, of a packet whose header was checked. */
export function sourceOf(packet: Uint8Array, header: Header, sources: number): number {
  return ((flowHash(packet, header) >>> 16) * sources) >>> 16;
}

/** Of addresses, protocol and ports; of the addresses alone in all fragments, and behind extension headers, of which one may be a fragment's. */
function flowHash(packet: Uint8Array, header: Header): number {
  const [from, to] = header.family === 4 ? [12, 20] : [IPV6_SOURCE, IPV6_HEADER];
  let hash = 0;
  for (let at = from; at < to; at += 4) hash = mix(hash, address(packet, at));
  if (isInParts(packet, header)) return hash;
  const { protocol, offset } = header.transport(packet);
  hash = mix(hash, protocol);
  const hasPorts = protocol === TCP || protocol === UDP || protocol === SCTP;
  if (!hasPorts || offset === undefined || offset + 4 > header.totalLength(packet)) return hash;
  return mix(hash, address(packet, offset));
}

function isInParts(packet: Uint8Array, { family }: Header): boolean {
  return family === 4 ? (word(packet, 6) & MORE_FRAGMENTS_OR_OFFSET) !== 0 : isExtension(packet[6]!);
}

/** Multiplied by 2^32 divided by the golden ratio (Knuth, 6.4), which spreads ports that follow each other. */
function mix(hash: number, value: number): number {
  const product = Math.imul(hash ^ value, 0x9e3779b1);
  return product ^ (product >>> 16);
}
