// Former names, until every caller has the new ones.
import type { Ipv6 } from './ipv6.ts';
import {
  addressAt,
  type InterfaceAddress,
  type Prefix,
  parseInterfaceAddress,
  parsePrefix,
  prefixFrom,
} from './prefix.ts';

export type Ipv6Prefix = Prefix<6>;
export type Ipv6Interface = InterfaceAddress<6>;
export const ipv6Prefix = (ip: Ipv6, length: number): Prefix<6> => prefixFrom(ip, length);
export const parseIpv6Prefix = (text: string): Prefix<6> => parsePrefix(text, 6);
export const parseIpv6Interface = (text: string): InterfaceAddress<6> => parseInterfaceAddress(text, 6);
export const ipv6AddressAt = (prefix: Prefix<6>, n: bigint): Ipv6 => addressAt(prefix, n);
export {
  comparePrefixes as compareIpv6Prefixes,
  formatInterfaceAddress as formatIpv6Interface,
  formatPrefix as formatIpv6Prefix,
  interfacePrefix as ipv6InterfacePrefix,
  prefixContains as ipv6PrefixContains,
  prefixesOverlap as ipv6PrefixesOverlap,
  samePrefix as sameIpv6Prefix,
} from './prefix.ts';
