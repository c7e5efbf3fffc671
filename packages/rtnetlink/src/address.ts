/**
 * Addresses of links: `ip address`.
 * `struct ifaddrmsg { u8 family; u8 prefixlen; u8 flags; u8 scope; u32 index; }` and IFA_* (linux/if_addr.h).
 */
import type { Family } from '@flannel-ts/inet/family';
import { familyOf, type Ip, ipToBytes, isIpv6 } from '@flannel-ts/inet/ip';
import { formatInterfaceAddress, type InterfaceAddress, interfacePrefix, lastAddress } from '@flannel-ts/inet/prefix';
import {
  attribute,
  attributeString,
  attributeU32,
  parseAttributes,
  readString,
  readU32,
  viewOf,
} from './attributes.ts';
import type { Netlink } from './connection.ts';
import * as c from './constants.ts';
import { checkLength, isNetlinkError, NetlinkError } from './errors.ts';
import { addressFamily, familiesOf, familyFrom, ofFamily, readIp } from './family.ts';
import { NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE } from './message.ts';

const IFADDRMSG_LENGTH = 8;

export interface Address {
  readonly family: Family;
  readonly index: number;
  readonly address: InterfaceAddress;
  /** Other end of a point-to-point link, if it was given. */
  readonly peer: Ip | undefined;
  readonly broadcast: Ip | undefined;
  readonly label: string | undefined;
  readonly scope: number;
  /** IFA_F_*. */
  readonly flags: number;
  /** IPv6: duplicate address detection has not ended, so that the address cannot be used yet. */
  readonly tentative: boolean;
  /** IPv6: another host has this address. */
  readonly duplicate: boolean;
}

export interface AddressSpec {
  readonly index: number;
  readonly address: InterfaceAddress;
  /** Other end of a point-to-point link: `ip address add ADDRESS peer PEER`. */
  readonly peer?: Ip | undefined;
  /** IPv4. `'auto'`: the last address of the prefix, none for /31 and /32. */
  readonly broadcast?: Ip | 'auto' | undefined;
  readonly label?: string | undefined;
  readonly scope?: number | undefined;
  /** Do not add a route to the prefix. */
  readonly noPrefixRoute?: boolean | undefined;
  /** IPv6: use the address at once, without duplicate address detection. */
  readonly noDad?: boolean | undefined;
}

export interface AddressFilter {
  readonly index?: number | undefined;
  readonly family?: Family | undefined;
}

/** `ip` [`-6`] `address show` [`dev DEV`], of both families by default. */
export function listAddresses(nl: Netlink, filter: AddressFilter = {}): Address[] {
  return familiesOf(filter.family).flatMap((family) => listFamily(nl, family, filter));
}

function listFamily(nl: Netlink, family: Family, filter: AddressFilter): Address[] {
  try {
    const answers = nl.dump({
      type: c.RTM_GETADDR,
      parts: [encodeHeader(addressFamily(family), 0, 0, 0, filter.index ?? 0)],
      operation: filter.index === undefined ? 'list addresses' : `list addresses of link ${filter.index}`,
    });
    return ofFamily(answers, family)
      .map((message) => parseAddress(message.payload))
      .filter((address) => filter.index === undefined || address.index === filter.index);
  } catch (error) {
    // The kernel answers so for a link that does not exist (inet_dump_ifaddr): it has no addresses.
    if (isNetlinkError(error, 'ENODEV')) return [];
    throw error;
  }
}

/** `ip address add 10.5.72.1/24 dev DEV` [`brd +`] [`scope S`]. EEXIST if the link has it. */
export function addAddress(nl: Netlink, spec: AddressSpec): void {
  nl.request({ ...addressRequest(spec, 'add'), type: c.RTM_NEWADDR, flags: NLM_F_CREATE | NLM_F_EXCL });
}

/** `ip address replace 10.5.72.1/24 dev DEV`: adds the address, or changes the flags and life times of one that is there. */
export function replaceAddress(nl: Netlink, spec: AddressSpec): void {
  nl.request({ ...addressRequest(spec, 'replace'), type: c.RTM_NEWADDR, flags: NLM_F_CREATE | NLM_F_REPLACE });
}

/** `ip address del 10.5.72.1/24 dev DEV`. EADDRNOTAVAIL if the link does not have it. */
export function deleteAddress(nl: Netlink, spec: Pick<AddressSpec, 'index' | 'address' | 'peer'>): void {
  nl.request({ ...addressRequest(spec, 'delete'), type: c.RTM_DELADDR });
}

/** Adds the address unless the link has it, with the same prefix length. True if it was added. */
export function ensureAddress(nl: Netlink, spec: AddressSpec): boolean {
  try {
    addAddress(nl, spec);
    return true;
  } catch (error) {
    if (isNetlinkError(error, 'EEXIST')) return false;
    throw error;
  }
}

/** Deletes the address if the link has it. True if it was deleted; also false if there is no such link. */
export function ensureAddressAbsent(nl: Netlink, spec: Pick<AddressSpec, 'index' | 'address' | 'peer'>): boolean {
  try {
    deleteAddress(nl, spec);
    return true;
  } catch (error) {
    if (isNetlinkError(error, 'EADDRNOTAVAIL', 'ENODEV')) return false;
    throw error;
  }
}

/** Reads the payload of RTM_NEWADDR and RTM_DELADDR. */
export function parseAddress(payload: Uint8Array): Address {
  checkLength(payload, IFADDRMSG_LENGTH, 'read an address');
  const view = viewOf(payload);
  const family = familyFrom(view.getUint8(0));
  const attributes = parseAttributes(payload.subarray(IFADDRMSG_LENGTH));
  const flags = readU32(attributes, c.IFA_FLAGS) ?? view.getUint8(2);
  // IFA_ADDRESS is the other end on point-to-point links, and IFA_LOCAL ours; IPv6 sends only IFA_ADDRESS otherwise.
  const far = readIp(attributes, c.IFA_ADDRESS, family);
  const address = readIp(attributes, c.IFA_LOCAL, family) ?? far;
  if (address === undefined)
    throw new NetlinkError('EBADMSG', 'read an address', 'the message has no IFA_LOCAL or IFA_ADDRESS');
  return {
    family,
    index: view.getUint32(4, true),
    address: { address, length: view.getUint8(1) } as InterfaceAddress,
    peer: far === address ? undefined : far,
    broadcast: readIp(attributes, c.IFA_BROADCAST, family),
    label: readString(attributes, c.IFA_LABEL),
    scope: view.getUint8(3),
    flags,
    tentative: (flags & c.IFA_F_TENTATIVE) !== 0,
    duplicate: (flags & c.IFA_F_DADFAILED) !== 0,
  };
}

function addressRequest(spec: AddressSpec, verb: string): { parts: Uint8Array[]; operation: string } {
  const { address, length } = spec.address;
  const flags = (spec.noPrefixRoute ? c.IFA_F_NOPREFIXROUTE : 0) | (spec.noDad ? c.IFA_F_NODAD : 0);
  const parts = [
    encodeHeader(addressFamily(familyOf(address)), length, 0, spec.scope ?? c.RT_SCOPE_UNIVERSE, spec.index),
    // Both, for IPv4: without IFA_LOCAL the request is refused, without IFA_ADDRESS there is no prefix route.
    attribute(c.IFA_LOCAL, ipToBytes(address)),
    attribute(c.IFA_ADDRESS, ipToBytes(spec.peer ?? address)),
  ];
  const broadcast = broadcastOf(spec);
  if (broadcast !== undefined) parts.push(attribute(c.IFA_BROADCAST, ipToBytes(broadcast)));
  if (spec.label !== undefined) parts.push(attributeString(c.IFA_LABEL, spec.label));
  if (flags !== 0) parts.push(attributeU32(c.IFA_FLAGS, flags));
  return { parts, operation: `${verb} address ${formatInterfaceAddress(spec.address)} on link ${spec.index}` };
}

function broadcastOf(spec: AddressSpec): Ip | undefined {
  if (spec.broadcast !== 'auto') return spec.broadcast;
  if (isIpv6(spec.address.address) || spec.address.length > 30) return undefined;
  return lastAddress(interfacePrefix(spec.address));
}

function encodeHeader(family: number, length: number, flags: number, scope: number, index: number): Uint8Array {
  const bytes = Uint8Array.of(family, length, flags, scope, 0, 0, 0, 0);
  viewOf(bytes).setUint32(4, index, true);
  return bytes;
}
