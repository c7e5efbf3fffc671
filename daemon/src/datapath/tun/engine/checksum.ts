/** One's complement sum of 16-bit words in network order, RFC 1071; an odd last byte is padded with a zero. Not folded. */
export function sumWords(bytes: Uint8Array, offset: number, length: number): number {
  // 65535 bytes add up to less than 2^31: no overflow before the fold.
  const even = offset + (length & ~1);
  let sum = 0;
  for (let i = offset; i < even; i += 2) sum += (bytes[i]! << 8) | bytes[i + 1]!;
  if ((length & 1) !== 0) sum += bytes[even]! << 8;
  return sum;
}

export function fold(sum: number): number {
  const once = (sum & 0xffff) + (sum >>> 16);
  return (once & 0xffff) + (once >>> 16);
}

/** The Internet checksum of these bytes: 0 when they hold a right checksum already. */
export function internetChecksum(bytes: Uint8Array, offset: number, length: number): number {
  return ~fold(sumWords(bytes, offset, length)) & 0xffff;
}

/**
 * The checksum after one 16-bit word changed, RFC 1624 equation 3: HC' = ~(~HC + ~m + m'). Equation 2 of RFC 1141 would give
 * 0xffff where a full sum gives 0.
 */
export function updateChecksum(checksum: number, oldWord: number, newWord: number): number {
  return ~fold((~checksum & 0xffff) + (~oldWord & 0xffff) + newWord) & 0xffff;
}
