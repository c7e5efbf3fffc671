import { InetError } from './errors.ts';
import { formatIpv6, type Ipv6, isIpv6Text, parseIpv6 } from './ipv6.ts';

/** A block of IPv6 addresses; `base` has no host bits set. */
export interface Ipv6Prefix {
  readonly family: 6;
  readonly base: Ipv6;
  readonly length: number;
}

/** An address on a link of this prefix length, like fd00::1/64; keeps its host bits. */
export interface Ipv6Interface {
  readonly address: Ipv6;
  readonly length: number;
}

/** The block of this length that holds `ip`; host bits are masked away. */
export function ipv6Prefix(ip: Ipv6, length: number): Ipv6Prefix {
  return { family: 6, base: mask(ip, checkLength(length)), length };
}

/** Host bits are masked away, as Go's net.ParseCIDR does. */
export function parseIpv6Prefix(text: string): Ipv6Prefix {
  const { address, length } = split(text);
  return ipv6Prefix(address, length);
}

export function parseIpv6PrefixStrict(text: string): Ipv6Prefix {
  const { address, length } = split(text);
  const prefix = ipv6Prefix(address, length);
  if (prefix.base !== address) {
    throw new InetError(
      'INVALID_PREFIX',
      `IPv6 prefix ${text} has bits set after its first ${length}: write ${formatIpv6Prefix(prefix)}`,
    );
  }
  return prefix;
}

export function formatIpv6Prefix(prefix: Ipv6Prefix): string {
  return `${formatIpv6(prefix.base)}/${prefix.length}`;
}

export function sameIpv6Prefix(a: Ipv6Prefix, b: Ipv6Prefix): boolean {
  return a.base === b.base && a.length === b.length;
}

/** By base, then shorter first: a covering block comes before what it covers. */
export function compareIpv6Prefixes(a: Ipv6Prefix, b: Ipv6Prefix): number {
  if (a.base !== b.base) return a.base < b.base ? -1 : 1;
  return a.length - b.length;
}

export function ipv6PrefixContains(prefix: Ipv6Prefix, ip: Ipv6): boolean {
  return mask(ip, prefix.length) === prefix.base;
}

/** Every address of `inner` is in `outer`; a prefix covers itself. */
export function ipv6PrefixCovers(outer: Ipv6Prefix, inner: Ipv6Prefix): boolean {
  return outer.length <= inner.length && ipv6PrefixContains(outer, inner.base);
}

export function ipv6PrefixesOverlap(a: Ipv6Prefix, b: Ipv6Prefix): boolean {
  return ipv6PrefixCovers(a, b) || ipv6PrefixCovers(b, a);
}

export function ipv6PrefixSize(prefix: Ipv6Prefix): bigint {
  return 1n << BigInt(128 - prefix.length);
}

export function ipv6Netmask(length: number): Ipv6 {
  return mask(((1n << 128n) - 1n) as Ipv6, checkLength(length));
}

/** The last address of the block; IPv6 has no broadcast. */
export function lastIpv6Address(prefix: Ipv6Prefix): Ipv6 {
  return (prefix.base + ipv6PrefixSize(prefix) - 1n) as Ipv6;
}

/** The n-th address of the block; n = 0 is its base. */
export function ipv6AddressAt(prefix: Ipv6Prefix, n: bigint): Ipv6 {
  if (n < 0n || n >= ipv6PrefixSize(prefix)) {
    throw new InetError('INVALID_ADDRESS', `Address number ${n} is outside ${formatIpv6Prefix(prefix)}`);
  }
  return (prefix.base + n) as Ipv6;
}

/** How many blocks of `length` fit; 0 when they are larger than the prefix. */
export function ipv6SubnetCount(prefix: Ipv6Prefix, length: number): bigint {
  checkLength(length);
  return length < prefix.length ? 0n : 1n << BigInt(length - prefix.length);
}

/** The i-th block of `length` in the prefix. */
export function ipv6SubnetAt(prefix: Ipv6Prefix, length: number, i: bigint): Ipv6Prefix {
  const count = ipv6SubnetCount(prefix, length);
  if (i < 0n || i >= count) {
    throw new InetError(
      'INVALID_PREFIX',
      `Subnet number ${i} is outside ${formatIpv6Prefix(prefix)}, which has ${count} subnets of length ${length}`,
    );
  }
  return { family: 6, base: (prefix.base + (i << BigInt(128 - length))) as Ipv6, length };
}

export function parseIpv6Interface(text: string): Ipv6Interface {
  return split(text);
}

export function ipv6InterfacePrefix(address: Ipv6Interface): Ipv6Prefix {
  return ipv6Prefix(address.address, address.length);
}

export function formatIpv6Interface(address: Ipv6Interface): string {
  return `${formatIpv6(address.address)}/${address.length}`;
}

function mask(ip: Ipv6, length: number): Ipv6 {
  const hostBits = BigInt(128 - length);
  return ((ip >> hostBits) << hostBits) as Ipv6;
}

function checkLength(length: number): number {
  if (!Number.isInteger(length) || length < 0 || length > 128) {
    throw new InetError('INVALID_PREFIX', `IPv6 prefix length ${length} is not within 0 and 128`);
  }
  return length;
}

function split(text: string): Ipv6Interface {
  const slash = text.indexOf('/');
  const address = text.slice(0, slash);
  const length = text.slice(slash + 1);
  if (slash < 0 || !isIpv6Text(address) || !/^(\d{1,2}|1[01]\d|12[0-8])$/.test(length) || /^0\d/.test(length)) {
    throw new InetError('INVALID_PREFIX', `Invalid IPv6 prefix ${JSON.stringify(text)}: write it like fd00:244::/48`);
  }
  return { address: parseIpv6(address), length: Number(length) };
}
