import { InetError } from './errors.ts';
import type { Family } from './family.ts';
import { formatIpv4, type Ipv4, ipv4FromBytes, ipv4FromNumber, ipv4ToBytes, isIpv4Text, parseIpv4 } from './ipv4.ts';
import { formatIpv6, type Ipv6, ipv6FromBytes, ipv6FromNumber, ipv6ToBytes, isIpv6Text, parseIpv6 } from './ipv6.ts';

interface IpByFamily {
  readonly 4: Ipv4;
  readonly 6: Ipv6;
}

/** An address. A number is IPv4, a bigint is IPv6: `===` compares addresses of either family. */
export type Ip<F extends Family = Family> = IpByFamily[F];

export type FamilyOf<I extends Ip> = I extends Ipv4 ? 4 : 6;

export function familyOf<I extends Ip>(ip: I): FamilyOf<I> {
  return (typeof ip === 'bigint' ? 6 : 4) as FamilyOf<I>;
}

export function isIpv4(ip: Ip): ip is Ipv4 {
  return typeof ip === 'number';
}

export function isIpv6(ip: Ip): ip is Ipv6 {
  return typeof ip === 'bigint';
}

/** Of the given family, or of either one. */
export function isIpText(text: string, family?: Family): boolean {
  return (family !== 6 && isIpv4Text(text)) || (family !== 4 && isIpv6Text(text));
}

/** Of a text that the source code holds, the compiler knows the family, too. */
export type FamilyOfText<T extends string> = string extends T
  ? Family
  : T extends `${string}:${string}`
    ? 6
    : T extends `${number}.${string}`
      ? 4
      : Family;

/** Of the given family, or of either one. */
export function parseIp<T extends string, F extends Family = FamilyOfText<T>>(text: T, family?: F): Ip<F>;
export function parseIp(text: string, family?: Family): Ip {
  if (family === 4 || (family === undefined && isIpv4Text(text))) return parseIpv4(text);
  if (family === 6 || isIpv6Text(text)) return parseIpv6(text);
  throw new InetError(
    'INVALID_ADDRESS',
    `Invalid address ${JSON.stringify(text)}: write IPv4 like 10.0.0.1, or IPv6 like fd00::1`,
  );
}

export function formatIp(ip: Ip): string {
  return isIpv6(ip) ? formatIpv6(ip) : formatIpv4(ip);
}

/** Network byte order. */
export function ipToBytes(ip: Ip): Uint8Array {
  return isIpv6(ip) ? ipv6ToBytes(ip) : ipv4ToBytes(ip);
}

export function ipFromBytes<F extends Family>(family: F, bytes: Uint8Array, offset = 0): Ip<F> {
  const ip: Ip = family === 4 ? ipv4FromBytes(bytes, offset) : ipv6FromBytes(bytes, offset);
  return ip as Ip<F>;
}

/** The address with this number; throws if the family has none. */
export function ipFromNumber<F extends Family>(family: F, value: number | bigint): Ip<F> {
  const ip: Ip = family === 4 ? ipv4FromNumber(Number(value)) : ipv6FromNumber(BigInt(value));
  return ip as Ip<F>;
}

/** The address `n` after this one, or before it if `n` is negative; throws if the family has none. */
export function addToIp<I extends Ip>(ip: I, n: number | bigint): I {
  const sum = typeof ip === 'bigint' ? ip + BigInt(n) : Number(ip) + Number(n);
  return ipFromNumber(familyOf<Ip>(ip), sum) as I;
}

/** IPv4 first, then by number. */
export function compareIps(a: Ip, b: Ip): number {
  if (typeof a !== typeof b) return isIpv4(a) ? -1 : 1;
  return a < b ? -1 : a > b ? 1 : 0;
}

/** 0.0.0.0 or ::, "no address" (RFC 1122, RFC 4291). */
export function unspecifiedIp<F extends Family>(family: F): Ip<F> {
  return ipFromNumber(family, 0);
}

/** 127.0.0.0/8 (RFC 1122 section 3.2.1.3), or ::1. */
export function isLoopback(ip: Ip): boolean {
  return isIpv6(ip) ? ip === 1n : ip >>> 24 === 127;
}

/** 169.254.0.0/16 (RFC 3927), or fe80::/10 (RFC 4291 section 2.5.6). */
export function isLinkLocal(ip: Ip): boolean {
  return isIpv6(ip) ? ip >> 118n === 0x3fan : ip >>> 16 === 0xa9fe;
}
