/** Addresses and prefixes for property tests. */
import fc from 'fast-check';
import { addressBits, type Family } from '../src/family.ts';
import { type Ip, ipFromNumber, parseIp } from '../src/ip.ts';
import { type Prefix, prefixFrom } from '../src/prefix.ts';

export function anyIp<F extends Family>(family: F): fc.Arbitrary<Ip<F>> {
  return fc.bigInt({ min: 0n, max: (1n << BigInt(addressBits(family))) - 1n }).map((n) => ipFromNumber(family, n));
}

/** Random prefixes hardly ever overlap: half of these lie in one block of 256 addresses. */
export function anyPrefix<F extends Family>(family: F): fc.Arbitrary<Prefix<F>> {
  const bits = addressBits(family);
  const anywhere = fc.tuple(anyIp(family), fc.integer({ min: 0, max: bits }));
  return fc
    .oneof(anywhere, fc.tuple(nearbyIp(family), fc.integer({ min: bits - 8, max: bits })))
    .map(([ip, length]) => prefixFrom<Ip>(ip, length) as Prefix<F>);
}

/** One of 256 addresses. */
export function nearbyIp<F extends Family>(family: F): fc.Arbitrary<Ip<F>> {
  const first = BigInt(parseIp(family === 4 ? '10.0.0.0' : 'fd00::'));
  return fc.nat(255).map((n) => ipFromNumber(family, first + BigInt(n)));
}
