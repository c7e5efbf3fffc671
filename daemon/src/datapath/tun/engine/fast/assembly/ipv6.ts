/* Judgement and change of an IPv6 header, equal to ipv6-header.ts of the reference engine. */
import { swap } from './checksum';
import { MALFORMED, OWN_ADDRESS6, TOO_SHORT } from './layout';

export function isIpv6(packet: usize, length: u32): bool {
  return length !== 0 && load<u8>(packet) >>> 4 === 6;
}

export function totalLength6(packet: usize): u32 {
  return 40 + swap(load<u16>(packet, 4));
}

/** Whether the 16 bytes at `address` are the device's own address. */
export function isOwnAddress6(address: usize): bool {
  return load<u64>(address) === load<u64>(OWN_ADDRESS6) && load<u64>(address, 8) === load<u64>(OWN_ADDRESS6, 8);
}

/** 0, or why the packet is dropped. */
export function checkHeader6(packet: usize, length: u32): i32 {
  if (length < 40) return TOO_SHORT;
  return totalLength6(packet) > length ? MALFORMED : 0;
}

export function decrementHopLimit(packet: usize): void {
  store<u8>(packet, load<u8>(packet, 7) - 1, 7);
}

/** The sum of the pseudo header, RFC 8200 8.1, but for the length. */
export function pseudoHeader6(packet: usize, protocol: u32): u64 {
  let total: u64 = (protocol << 8) as u64;
  for (let at: usize = 8; at < 40; at += 4) total += load<u32>(packet + at) as u64;
  return total;
}
