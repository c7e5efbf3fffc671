/** Address families in the kernel's numbers. */
import { addressBytes, FAMILIES, type Family } from '@flannel-ts/inet/family';
import { type Ip, ipFromBytes } from '@flannel-ts/inet/ip';
import type { Attributes } from './attributes.ts';
import { AF_INET, AF_INET6 } from './constants.ts';
import type { NetlinkMessage } from './message.ts';

/** AF_INET or AF_INET6. */
export function addressFamily(family: Family): number {
  return family === 4 ? AF_INET : AF_INET6;
}

/** What is neither AF_INET nor AF_INET6 counts as IPv4. */
export function familyFrom(addressFamily: number): Family {
  return addressFamily === AF_INET6 ? 6 : 4;
}

/** The families of a list that is of one family, or of both. */
export function familiesOf(family: Family | undefined): readonly Family[] {
  return family === undefined ? FAMILIES : [family];
}

/**
 * The answers to a dump that are of the requested family: ifaddrmsg, rtmsg, ndmsg and fib_rule_hdr begin with it.
 * A kernel without IPv6 (`ipv6.disable=1`) has no dump for it and answers with every family it knows (rtnetlink_rcv_msg).
 */
export function ofFamily(messages: readonly NetlinkMessage[], family: Family): NetlinkMessage[] {
  return messages.filter(({ payload }) => payload[0] === addressFamily(family));
}

/** An address attribute of the given family; undefined if it is absent or too short. */
export function readIp(attributes: Attributes, type: number, family: Family): Ip | undefined {
  const payload = attributes.get(type);
  return payload && payload.length >= addressBytes(family) ? ipFromBytes(family, payload) : undefined;
}
