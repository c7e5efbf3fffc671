/* Judgement and change of an IPv4 header, equal to ipv4-header.ts of the reference engine. */
import { fold, sum, swap } from './checksum';
import { BAD_CHECKSUM, MALFORMED, NOT_IPV4, TOO_SHORT } from './layout';

export function headerLength(packet: usize): u32 {
  return ((load<u8>(packet) as u32) & 0x0f) << 2;
}

export function totalLength(packet: usize): u32 {
  return swap(load<u16>(packet, 2));
}

/** 0, or why the packet is dropped. */
export function checkHeader(packet: usize, length: u32): i32 {
  if (length < 20) return TOO_SHORT;
  if (load<u8>(packet) >>> 4 !== 4) return NOT_IPV4;
  const header = headerLength(packet);
  const total = totalLength(packet);
  if (header < 20 || total < header || total > length) return MALFORMED;
  return fold(sum(packet, header)) === 0xffff ? 0 : BAD_CHECKSUM;
}

/** RFC 1624, equation 3; the TTL is the low byte of its word in our order. */
export function decrementTimeToLive(packet: usize): void {
  const before = load<u16>(packet, 8) as u32;
  const checksum = load<u16>(packet, 10) as u32;
  store<u16>(packet, (before - 1) as u16, 8);
  store<u16>(packet, ~fold((~checksum & 0xffff) + (~before & 0xffff) + (before - 1)) as u16, 10);
}

/** Puts the right checksum into a header of `length` bytes. */
export function sealHeader(packet: usize, length: u32): void {
  store<u16>(packet, 0, 10);
  store<u16>(packet, ~fold(sum(packet, length)) as u16, 10);
}

/** The sum of the pseudo header of TCP and UDP. */
export function pseudoHeader(packet: usize, length: u32): u64 {
  return (
    (load<u32>(packet, 12) as u64) +
    (load<u32>(packet, 16) as u64) +
    (((load<u8>(packet, 9) as u32) << 8) as u64) +
    (swap(length) as u64)
  );
}
