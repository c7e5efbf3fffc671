/* Which source port a packet is sent from, equal to source-port.ts of the reference engine. */
import { sources } from './host';
import { headerLength, totalLength } from './ipv4';
import { totalLength6 } from './ipv6';

const TCP: u32 = 6;
const UDP: u32 = 17;
const SCTP: u32 = 132;
const HOP_BY_HOP: u32 = 0;
const ROUTING: u32 = 43;
const FRAGMENT: u32 = 44;
const DESTINATION: u32 = 60;

// Of the word at 6, in the processor's order.
const MORE_FRAGMENTS_OR_OFFSET: u32 = 0xff3f;

/** Of a packet whose header was checked. */
export function sourceOf(packet: usize, six: bool): u32 {
  return (((six ? hash6(packet) : hash4(packet)) >>> 16) * sources) >>> 16;
}

function hash4(packet: usize): u32 {
  const addresses = mix(mix(0, word(packet + 12)), word(packet + 16));
  if (((load<u16>(packet, 6) as u32) & MORE_FRAGMENTS_OR_OFFSET) !== 0) return addresses;
  return withPorts(packet, addresses, load<u8>(packet, 9) as u32, headerLength(packet), totalLength(packet));
}

function hash6(packet: usize): u32 {
  let addresses: u32 = 0;
  for (let at: usize = 8; at < 40; at += 4) addresses = mix(addresses, word(packet + at));
  const next = load<u8>(packet, 6) as u32;
  if (next === HOP_BY_HOP || next === ROUTING || next === FRAGMENT || next === DESTINATION) return addresses;
  return withPorts(packet, addresses, next, 40, totalLength6(packet));
}

function withPorts(packet: usize, addresses: u32, protocol: u32, at: u32, total: u32): u32 {
  const hash = mix(addresses, protocol);
  const hasPorts = protocol === TCP || protocol === UDP || protocol === SCTP;
  return hasPorts && at + 4 <= total ? mix(hash, word(packet + at)) : hash;
}

function mix(hash: u32, value: u32): u32 {
  const product = (hash ^ value) * 0x9e3779b1;
  return product ^ (product >>> 16);
}

function word(at: usize): u32 {
  return bswap<u32>(load<u32>(at));
}
