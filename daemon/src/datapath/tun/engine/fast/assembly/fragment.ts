/* Fragmentation of IPv4 packets, equal to fragment.ts of the reference engine. Payload is not moved. */
import { swap } from './checksum';
import { sealHeader } from './ipv4';
import { addIovec, addSegment, nextHeaders } from './plan';

const FRAGMENT_OFFSET: u32 = 0x1fff;
const MORE_FRAGMENTS: u32 = 0x2000;
const NO_OPERATION: u8 = 1;
const COPIED: u8 = 0x80;

/** How many fragments a packet of `total` bytes becomes at most. */
export function fragmentsOf(ip: u32, total: u32, largest: u32): u32 {
  return (total - ip) / ((largest - ip) & ~7) + 1;
}

/**
 * Plans a packet in fragments of `largest` bytes at most. Its first `header` bytes, of which `ip` are the IPv4 header, are at `to`, the
 * place for the headers of the next segment; they fit into a fragment (MIN_PATH_LIMIT of control.ts).
 */
export function putFragments(
  peer: u32,
  to: usize,
  ip: u32,
  header: u32,
  payload: usize,
  length: u32,
  largest: u32,
): void {
  const field = swap(load<u16>(to, 6));
  const whole = header - ip + length;
  let own = to;
  let at: u32 = 0;
  do {
    const rest = whole - at;
    const size = rest <= largest - ip ? rest : (largest - ip) & ~7;
    // The transport header is in the first fragment.
    const skipped = at === 0 ? header : ip;
    if (at !== 0) {
      own = nextHeaders();
      memory.copy(own, to, ip);
      blankOptions(own, ip);
    }
    store<u16>(own, swap(ip + size) as u16, 2);
    const offset = (field + at / 8) & FRAGMENT_OFFSET;
    store<u16>(own, swap((field & ~FRAGMENT_OFFSET) | offset | (size < rest ? MORE_FRAGMENTS : 0)) as u16, 6);
    sealHeader(own, ip);
    addIovec(own, skipped);
    const rests = ip + size - skipped;
    if (rests !== 0) addIovec(payload + (at === 0 ? 0 : at - (header - ip)), rests);
    addSegment(peer, ip + size, rests !== 0 ? 2 : 1);
    at += size;
  } while (at < whole);
}

function blankOptions(packet: usize, header: u32): void {
  let at: u32 = 20;
  while (at < header) {
    const type = load<u8>(packet + at);
    if (type === 0) return;
    const length: u32 = type === NO_OPERATION ? 1 : (load<u8>(packet + at, 1) as u32);
    if (length === 0 || at + length > header || (type !== NO_OPERATION && length < 2)) return;
    if ((type & COPIED) === 0) memory.fill(packet + at, NO_OPERATION, length);
    at += length;
  }
}
