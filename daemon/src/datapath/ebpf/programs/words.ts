/** Numbers as programs meet them: what a load of bytes in the order of networks gives on a machine of the other order. */
import { type Ip, ipToBytes } from '@flannel-ts/inet/ip';

/** Of 16 bits. */
export function swap16(value: number): number {
  return ((value & 0xff) << 8) | (value >>> 8);
}

/** The four bytes of an IPv4 address as one number, or the n-th four of an IPv6 address. */
export function addressWord(address: Ip, n = 0): number {
  const bytes = ipToBytes(address);
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(n * 4, true) | 0;
}

/** The ones' complement sum of 16-bit words in the order of networks, not folded. */
export function sumOf(address: Ip): number {
  const bytes = ipToBytes(address);
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += (bytes[at]! << 8) | bytes[at + 1]!;
  return sum;
}
