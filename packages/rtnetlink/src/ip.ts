/** What IPv4 and IPv6 have in common for rtnetlink: an address is a number or a bigint, and its family follows from that. */
import { formatIpv4, type Ipv4, ipv4FromBytes, ipv4ToBytes } from '@flannel-ts/inet/ipv4';
import { formatIpv6, type Ipv6, ipv6FromBytes, ipv6ToBytes } from '@flannel-ts/inet/ipv6';
import type { Ipv6Interface, Ipv6Prefix } from '@flannel-ts/inet/ipv6-prefix';
import type { Ipv4Interface, Ipv4Prefix } from '@flannel-ts/inet/prefix';
import type { Attributes } from './attributes.ts';
import { AF_INET, AF_INET6 } from './constants.ts';
import type { NetlinkMessage } from './message.ts';

export type Family = 4 | 6;
export type IpOf<F extends Family> = F extends 4 ? Ipv4 : Ipv6;
export type PrefixOf<F extends Family> = F extends 4 ? Ipv4Prefix : Ipv6Prefix;
export type InterfaceOf<F extends Family> = F extends 4 ? Ipv4Interface : Ipv6Interface;

export function addressFamily(family: Family): number {
  return family === 4 ? AF_INET : AF_INET6;
}

/**
 * The answers to a dump that are of the family that was asked for: ifaddrmsg, rtmsg, ndmsg and fib_rule_hdr begin with it.
 * A kernel without IPv6 (`ipv6.disable=1`) has no dump for it and answers with every family it knows (rtnetlink_rcv_msg).
 */
export function ofFamily(messages: readonly NetlinkMessage[], family: Family): NetlinkMessage[] {
  return messages.filter(({ payload }) => payload[0] === addressFamily(family));
}

export function familyOfIp(ip: Ipv4 | Ipv6): Family {
  return typeof ip === 'bigint' ? 6 : 4;
}

export function ipToBytes(ip: Ipv4 | Ipv6): Uint8Array {
  return typeof ip === 'bigint' ? ipv6ToBytes(ip) : ipv4ToBytes(ip);
}

export function formatIp(ip: Ipv4 | Ipv6): string {
  return typeof ip === 'bigint' ? formatIpv6(ip) : formatIpv4(ip);
}

export function formatSlash(ip: Ipv4 | Ipv6, length: number): string {
  return `${formatIp(ip)}/${length}`;
}

/** An address attribute of the given family; undefined if it is absent or too short. */
export function readIp<F extends Family>(attributes: Attributes, type: number, family: F): IpOf<F> | undefined {
  const payload = attributes.get(type);
  if (!payload || payload.length < (family === 4 ? 4 : 16)) return undefined;
  return (family === 4 ? ipv4FromBytes(payload) : ipv6FromBytes(payload)) as IpOf<F>;
}

export function prefixOf<F extends Family>(family: F, base: IpOf<F>, length: number): PrefixOf<F> {
  return { family, base, length } as unknown as PrefixOf<F>;
}
