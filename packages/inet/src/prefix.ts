import { InetError } from './errors.ts';
import { formatIpv4, type Ipv4, isIpv4Text, parseIpv4 } from './ipv4.ts';

/** A block of IPv4 addresses; `base` has no host bits set. */
export interface Ipv4Prefix {
  readonly family: 4;
  readonly base: Ipv4;
  readonly length: number;
}

/** An address on a link of this prefix length, like 10.5.72.1/24; keeps its host bits. */
export interface Ipv4Interface {
  readonly address: Ipv4;
  readonly length: number;
}

const EXAMPLE = 'write it like 10.244.0.0/16';

/** The block of this length that holds `ip`; host bits are masked away. */
export function ipv4Prefix(ip: Ipv4, length: number): Ipv4Prefix {
  return { family: 4, base: mask(ip, checkLength(length)), length };
}

/** Host bits are masked away, as Go's net.ParseCIDR does. */
export function parseIpv4Prefix(text: string): Ipv4Prefix {
  const { address, length } = split(text);
  return ipv4Prefix(address, length);
}

/** Refuses 10.0.0.1/8: in a place where a typed host bit is a mistake. */
export function parseIpv4PrefixStrict(text: string): Ipv4Prefix {
  const { address, length } = split(text);
  const prefix = ipv4Prefix(address, length);
  if (prefix.base !== address) {
    throw new InetError(
      'INVALID_PREFIX',
      `IPv4 prefix ${text} has bits set after its first ${length}: write ${formatIpv4Prefix(prefix)}`,
    );
  }
  return prefix;
}

export function formatIpv4Prefix(prefix: Ipv4Prefix): string {
  return `${formatIpv4(prefix.base)}/${prefix.length}`;
}

export function samePrefix(a: Ipv4Prefix, b: Ipv4Prefix): boolean {
  return a.base === b.base && a.length === b.length;
}

/** By base, then shorter first: a covering block comes before what it covers. */
export function comparePrefixes(a: Ipv4Prefix, b: Ipv4Prefix): number {
  return a.base - b.base || a.length - b.length;
}

export function prefixContains(prefix: Ipv4Prefix, ip: Ipv4): boolean {
  return mask(ip, prefix.length) === prefix.base;
}

/** Every address of `inner` is in `outer`; a prefix covers itself. */
export function prefixCovers(outer: Ipv4Prefix, inner: Ipv4Prefix): boolean {
  return outer.length <= inner.length && prefixContains(outer, inner.base);
}

export function prefixesOverlap(a: Ipv4Prefix, b: Ipv4Prefix): boolean {
  return prefixCovers(a, b) || prefixCovers(b, a);
}

/** How many addresses; 4294967296 for 0.0.0.0/0. */
export function prefixSize(prefix: Ipv4Prefix): number {
  return 2 ** (32 - prefix.length);
}

export function netmask(length: number): Ipv4 {
  // A shift by 32 is a shift by 0 in JavaScript.
  return (checkLength(length) === 0 ? 0 : (0xffff_ffff << (32 - length)) >>> 0) as Ipv4;
}

/** The last address of the block. */
export function broadcastAddress(prefix: Ipv4Prefix): Ipv4 {
  return (prefix.base + prefixSize(prefix) - 1) as Ipv4;
}

/** The n-th address of the block; n = 0 is its base. */
export function addressAt(prefix: Ipv4Prefix, n: number): Ipv4 {
  if (!Number.isInteger(n) || n < 0 || n >= prefixSize(prefix)) {
    throw new InetError(
      'INVALID_ADDRESS',
      `Address number ${n} is outside ${formatIpv4Prefix(prefix)}, which has ${prefixSize(prefix)} addresses`,
    );
  }
  return (prefix.base + n) as Ipv4;
}

/** How many blocks of `length` fit; 0 when they are larger than the prefix. */
export function subnetCount(prefix: Ipv4Prefix, length: number): number {
  checkLength(length);
  return length < prefix.length ? 0 : 2 ** (length - prefix.length);
}

/** The i-th block of `length` in the prefix. */
export function subnetAt(prefix: Ipv4Prefix, length: number, i: number): Ipv4Prefix {
  const count = subnetCount(prefix, length);
  if (!Number.isInteger(i) || i < 0 || i >= count) {
    throw new InetError(
      'INVALID_PREFIX',
      `Subnet number ${i} is outside ${formatIpv4Prefix(prefix)}, which has ${count} subnets of length ${length}`,
    );
  }
  return { family: 4, base: (prefix.base + i * 2 ** (32 - length)) as Ipv4, length };
}

export function parseIpv4Interface(text: string): Ipv4Interface {
  return split(text);
}

export function interfacePrefix(address: Ipv4Interface): Ipv4Prefix {
  return ipv4Prefix(address.address, address.length);
}

export function formatIpv4Interface(address: Ipv4Interface): string {
  return `${formatIpv4(address.address)}/${address.length}`;
}

function mask(ip: Ipv4, length: number): Ipv4 {
  return (length === 0 ? 0 : (ip & (0xffff_ffff << (32 - length))) >>> 0) as Ipv4;
}

function checkLength(length: number): number {
  if (!Number.isInteger(length) || length < 0 || length > 32) {
    throw new InetError('INVALID_PREFIX', `IPv4 prefix length ${length} is not within 0 and 32`);
  }
  return length;
}

function split(text: string): Ipv4Interface {
  const slash = text.indexOf('/');
  const address = text.slice(0, slash);
  const length = text.slice(slash + 1);
  if (slash < 0 || !isIpv4Text(address) || !/^(\d|[12]\d|3[0-2])$/.test(length)) {
    throw new InetError('INVALID_PREFIX', `Invalid IPv4 prefix ${JSON.stringify(text)}: ${EXAMPLE}`);
  }
  return { address: parseIpv4(address), length: Number(length) };
}
