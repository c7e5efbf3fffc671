import { InetError } from './errors.ts';
import { addressBits, type Family, familyName } from './family.ts';
import {
  addToIp,
  type FamilyOf,
  type FamilyOfText,
  familyOf,
  formatIp,
  type Ip,
  ipFromNumber,
  isIpText,
  isIpv6,
  parseIp,
} from './ip.ts';
import type { Ipv4 } from './ipv4.ts';
import type { Ipv6 } from './ipv6.ts';

interface PrefixByFamily {
  readonly 4: { readonly family: 4; readonly base: Ipv4; readonly length: number };
  readonly 6: { readonly family: 6; readonly base: Ipv6; readonly length: number };
}

/** A block of addresses, like 10.244.0.0/16; `base` has no host bits set. */
export type Prefix<F extends Family = Family> = PrefixByFamily[F];

interface InterfaceAddressByFamily {
  readonly 4: { readonly address: Ipv4; readonly length: number };
  readonly 6: { readonly address: Ipv6; readonly length: number };
}

/** An address on a link with this prefix length, like 10.5.72.1/24; keeps its host bits. */
export type InterfaceAddress<F extends Family = Family> = InterfaceAddressByFamily[F];

/** The block of this length that holds `ip`; host bits are masked away. */
export function prefixFrom<I extends Ip>(ip: I, length: number): Prefix<FamilyOf<I>> {
  const family = familyOf<Ip>(ip);
  return { family, base: mask(ip, checkLength(family, length)), length } as Prefix as Prefix<FamilyOf<I>>;
}

/** Of the given family, or of either one. Host bits are masked away, as Go's net.ParseCIDR does. */
export function parsePrefix<T extends string, F extends Family = FamilyOfText<T>>(text: T, family?: F): Prefix<F>;
export function parsePrefix(text: string, family?: Family): Prefix {
  return interfacePrefix(split(text, family));
}

/** Refuses 10.0.0.1/8: for places where a host bit is a typing mistake. */
export function parsePrefixStrict<T extends string, F extends Family = FamilyOfText<T>>(text: T, family?: F): Prefix<F>;
export function parsePrefixStrict(text: string, family?: Family): Prefix {
  const written = split(text, family);
  const prefix = interfacePrefix(written);
  if (prefix.base !== written.address) {
    throw new InetError(
      'INVALID_PREFIX',
      `${familyName(prefix.family)} prefix ${text} has bits set after its first ${prefix.length}: write ${formatPrefix(prefix)}`,
    );
  }
  return prefix;
}

export function formatPrefix(prefix: Prefix): string {
  return `${formatIp(prefix.base)}/${prefix.length}`;
}

export function samePrefix(a: Prefix, b: Prefix): boolean {
  return a.base === b.base && a.length === b.length;
}

/** Equal for equal prefixes, as a key of a Map that is small and quickly made. */
export type PrefixKey = number | bigint;

export function prefixKey({ base, length }: Prefix): PrefixKey {
  return typeof base === 'bigint' ? base * 256n + BigInt(length) : base * 64 + length;
}

/** IPv4 first, then by base, then the shorter first: a covering block comes before what it covers. */
export function comparePrefixes(a: Prefix, b: Prefix): number {
  if (a.family !== b.family) return a.family - b.family;
  if (a.base !== b.base) return a.base < b.base ? -1 : 1;
  return a.length - b.length;
}

/** Never for an address of the other family. */
export function prefixContains(prefix: Prefix, ip: Ip): boolean {
  return prefix.family === familyOf(ip) && mask(ip, prefix.length) === prefix.base;
}

/** Whether every address of `inner` is in `outer`; a prefix covers itself. */
export function prefixCovers(outer: Prefix, inner: Prefix): boolean {
  return outer.length <= inner.length && prefixContains(outer, inner.base);
}

export function prefixesOverlap(a: Prefix, b: Prefix): boolean {
  return prefixCovers(a, b) || prefixCovers(b, a);
}

/** How many addresses the block has: a power of two, which a number holds exactly for IPv6, too. */
export function prefixSize(prefix: Prefix): number {
  return 2 ** (addressBits(prefix.family) - prefix.length);
}

export function netmask<F extends Family>(family: F, length: number): Ip<F> {
  const bits = addressBits(family);
  const ones = ipFromNumber(family, (1n << BigInt(bits)) - 1n);
  return mask(ones, checkLength(family, length));
}

/** The last address of the block; for IPv4 on a link, its broadcast address. */
export function lastAddress<P extends Prefix>(prefix: P): P['base'] {
  return addToIp<Ip>(prefix.base, (1n << hostBits(prefix)) - 1n);
}

/** The n-th address of the block; n = 0 is its base. */
export function addressAt<P extends Prefix>(prefix: P, n: number | bigint): P['base'] {
  if (n < 0 || n >= prefixSize(prefix) || !isWhole(n)) {
    throw new InetError(
      'INVALID_ADDRESS',
      `Address number ${n} is outside ${formatPrefix(prefix)}, which has ${prefixSize(prefix)} addresses`,
    );
  }
  return addToIp<Ip>(prefix.base, n);
}

/** How many blocks of `length` fit; 0 when they are larger than the prefix. */
export function subnetCount(prefix: Prefix, length: number): number {
  checkLength(prefix.family, length);
  return length < prefix.length ? 0 : 2 ** (length - prefix.length);
}

/** The i-th block of `length` in the prefix. */
export function subnetAt<P extends Prefix>(prefix: P, length: number, i: number | bigint): P {
  const count = subnetCount(prefix, length);
  if (i < 0 || i >= count || !isWhole(i)) {
    throw new InetError(
      'INVALID_PREFIX',
      `Subnet number ${i} is outside ${formatPrefix(prefix)}, which has ${count} subnets of length ${length}`,
    );
  }
  const { family } = prefix;
  const base = addToIp<Ip>(prefix.base, BigInt(i) << hostBits({ family, length }));
  return { family, base, length } as P;
}

/** Of the given family, or of either one. */
export function parseInterfaceAddress<T extends string, F extends Family = FamilyOfText<T>>(
  text: T,
  family?: F,
): InterfaceAddress<F>;
export function parseInterfaceAddress(text: string, family?: Family): InterfaceAddress {
  return split(text, family);
}

export function formatInterfaceAddress({ address, length }: InterfaceAddress): string {
  return `${formatIp(address)}/${length}`;
}

export function sameInterfaceAddress(a: InterfaceAddress, b: InterfaceAddress): boolean {
  return a.address === b.address && a.length === b.length;
}

/** The block that the address is in. */
export function interfacePrefix<A extends InterfaceAddress>(address: A): Prefix<FamilyOf<A['address']>> {
  return prefixFrom<A['address']>(address.address, address.length);
}

function hostBits({ family, length }: Pick<Prefix, 'family' | 'length'>): bigint {
  return BigInt(addressBits(family) - length);
}

function mask<I extends Ip>(ip: I, length: number): I {
  if (isIpv6(ip)) {
    const host = BigInt(128 - length);
    return ((ip >> host) << host) as I;
  }
  // A shift by 32 is a shift by 0 in JavaScript.
  return (length === 0 ? 0 : (Number(ip) & (0xffff_ffff << (32 - length))) >>> 0) as I;
}

function checkLength(family: Family, length: number): number {
  const bits = addressBits(family);
  if (!Number.isInteger(length) || length < 0 || length > bits) {
    throw new InetError('INVALID_PREFIX', `${familyName(family)} prefix length ${length} is not within 0 and ${bits}`);
  }
  return length;
}

function isWhole(n: number | bigint): boolean {
  return typeof n === 'bigint' || Number.isInteger(n);
}

const EXAMPLES = { 4: '10.244.0.0/16', 6: 'fd00:244::/48' } as const;

function split(text: string, family: Family | undefined): InterfaceAddress {
  const slash = text.indexOf('/');
  const address = text.slice(0, slash);
  const length = text.slice(slash + 1);
  if (slash >= 0 && isIpText(address, family) && /^(0|[1-9]\d{0,2})$/.test(length)) {
    const ip = parseIp(address);
    if (Number(length) <= addressBits(familyOf<Ip>(ip))) {
      return { address: ip, length: Number(length) } as InterfaceAddress;
    }
  }
  const kind = family === undefined ? 'prefix' : `${familyName(family)} prefix`;
  const example = family === undefined ? `${EXAMPLES[4]} or ${EXAMPLES[6]}` : EXAMPLES[family];
  throw new InetError('INVALID_PREFIX', `Invalid ${kind} ${JSON.stringify(text)}: write it like ${example}`);
}
