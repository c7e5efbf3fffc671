/*
 * Internet checksums, RFC 1071. Sums are of words in the processor's own (little-endian) order, as section 2 (B) there allows:
 * a sum of swapped words is the swapped sum. They stay unfolded in 64 bits, where 32-bit words may be added as they are, since
 * 2^32 = 1 modulo 65535.
 */

/** The sum of `length` bytes; an odd last byte is padded with a zero. */
export function sum(at: usize, length: u32): u64 {
  let rest = length;
  let total: u64 = 0;
  if (rest >= 64) {
    let a = i64x2.splat(0);
    let b = i64x2.splat(0);
    let c = i64x2.splat(0);
    let d = i64x2.splat(0);
    while (rest >= 64) {
      const w = v128.load(at);
      const x = v128.load(at, 16);
      const y = v128.load(at, 32);
      const z = v128.load(at, 48);
      a = i64x2.add(a, i64x2.extend_low_i32x4_u(w));
      b = i64x2.add(b, i64x2.extend_high_i32x4_u(w));
      c = i64x2.add(c, i64x2.extend_low_i32x4_u(x));
      d = i64x2.add(d, i64x2.extend_high_i32x4_u(x));
      a = i64x2.add(a, i64x2.extend_low_i32x4_u(y));
      b = i64x2.add(b, i64x2.extend_high_i32x4_u(y));
      c = i64x2.add(c, i64x2.extend_low_i32x4_u(z));
      d = i64x2.add(d, i64x2.extend_high_i32x4_u(z));
      at += 64;
      rest -= 64;
    }
    const s = i64x2.add(i64x2.add(a, b), i64x2.add(c, d));
    total = i64x2.extract_lane(s, 0) + i64x2.extract_lane(s, 1);
  }
  while (rest >= 4) {
    total += load<u32>(at);
    at += 4;
    rest -= 4;
  }
  if (rest >= 2) {
    total += load<u16>(at);
    at += 2;
    rest -= 2;
  }
  if (rest !== 0) total += load<u8>(at);
  return total;
}

export function fold(sum: u64): u32 {
  let s = (sum & 0xffffffff) + (sum >>> 32);
  s = (s & 0xffff) + ((s >>> 16) & 0xffff) + (s >>> 32);
  s = (s & 0xffff) + (s >>> 16);
  s = (s & 0xffff) + (s >>> 16);
  return s as u32;
}

/** Between the processor's order and the network's. */
export function swap(word: u32): u32 {
  return ((word & 0xff) << 8) | ((word >>> 8) & 0xff);
}
