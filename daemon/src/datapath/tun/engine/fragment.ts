/** Fragmentation of IPv4 packets as a router does it, RFC 791 3.2. */
import { internetChecksum } from './checksum.ts';
import { headerLength, IPV4_HEADER, putWord, totalLength, word } from './ipv4-header.ts';

const FRAGMENT_OFFSET = 0x1fff;
const MORE_FRAGMENTS = 0x2000;

const END_OF_OPTIONS = 0;
const NO_OPERATION = 1;
/** Set in the type of an option that every fragment has. */
const COPIED = 0x80;

/**
 * Writes the fragment of `packet` that begins `at` bytes behind its header, and is no longer than `limit`, to `out`. Returns the bytes of
 * the packet's payload in it.
 */
export function writeFragment(out: Uint8Array, packet: Uint8Array, at: number, limit: number): number {
  const header = headerLength(packet);
  const rest = totalLength(packet) - header - at;
  const payload = rest <= limit - header ? rest : (limit - header) & ~7;
  for (let i = 0; i < header; i++) out[i] = packet[i]!;
  for (let i = 0; i < payload; i++) out[header + i] = packet[header + at + i]!;
  if (at > 0) blankOptions(out, header);
  putWord(out, 2, header + payload);
  const field = word(packet, 6);
  const offset = (field + at / 8) & FRAGMENT_OFFSET;
  putWord(out, 6, (field & ~FRAGMENT_OFFSET) | offset | (payload < rest ? MORE_FRAGMENTS : 0));
  putWord(out, 10, 0);
  putWord(out, 10, internetChecksum(out, 0, header));
  return payload;
}

/** Options that only the first fragment has. */
function blankOptions(packet: Uint8Array, header: number): void {
  for (let at = IPV4_HEADER; at < header; ) {
    const type = packet[at]!;
    if (type === END_OF_OPTIONS) return;
    const length = type === NO_OPERATION ? 1 : packet[at + 1]!;
    if (length === 0 || at + length > header || (type !== NO_OPERATION && length < 2)) return;
    if ((type & COPIED) === 0) packet.fill(NO_OPERATION, at, at + length);
    at += length;
  }
}
