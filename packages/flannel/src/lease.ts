import { formatIp, isIpText, parseIp, unspecifiedIp } from '@flannel-ts/inet/ip';
import type { Ipv4 } from '@flannel-ts/inet/ipv4';
import type { Ipv6 } from '@flannel-ts/inet/ipv6';
import { formatPrefix, type Prefix, prefixFrom } from '@flannel-ts/inet/prefix';
import { FlannelError } from './errors.ts';
import { FieldReader, goStringify, parseJsonObject } from './go-json.ts';

/** The addresses that identify a node: one of the two, or both. */
export interface NodeAddresses {
  /** Absent where flannel writes 0.0.0.0: a node of a network without IPv4. */
  readonly publicIp?: Ipv4;
  readonly publicIpv6?: Ipv6;
}

export interface LeaseAttributes extends NodeAddresses {
  /** '' for udp and alloc: flannel writes no type for them. */
  readonly backendType: string;
  /** Data of the backend for its peers, like vxlan's {"VNI":1,"VtepMAC":"..."}; any JSON. */
  readonly backendData?: unknown;
  readonly backendV6Data?: unknown;
}

/** A subnet of each family that the network has. */
export type LeaseSubnets =
  | { readonly subnet: Prefix<4>; readonly ipv6Subnet?: Prefix<6> }
  | { readonly subnet?: never; readonly ipv6Subnet: Prefix<6> };

export type Lease = LeaseSubnets & { readonly attributes: LeaseAttributes };

// flannel: subnet/subnet.go, subnetRegex; ParseUint reads 5 bits for the IPv4 length and 7 for the IPv6 one.
const KEY = /^([\d.]+)-(\d+)(?:&([a-f\d:]+)-(\d+))?$/;
const MAX_IPV4_LENGTH = 31;
const MAX_IPV6_LENGTH = 127;

/** What flannel writes when there is no IPv4 subnet (ip.IP4Net's zero value). */
const NO_SUBNET = '0.0.0.0-0';

/** Undefined if both are. */
export function leaseSubnets(
  subnet: Prefix<4> | undefined,
  ipv6Subnet: Prefix<6> | undefined,
): LeaseSubnets | undefined {
  if (subnet === undefined) return ipv6Subnet && { ipv6Subnet };
  return { subnet, ...(ipv6Subnet && { ipv6Subnet }) };
}

/** One for each family, IPv4 first. */
export function subnetsOf({ subnet, ipv6Subnet }: Partial<LeaseSubnets>): Prefix[] {
  return [...(subnet ? [subnet] : []), ...(ipv6Subnet ? [ipv6Subnet] : [])];
}

/** For messages: 10.5.52.0/24, or fc00:0:0:1::/64, or both with a comma. */
export function formatLeaseSubnets(subnets: LeaseSubnets): string {
  return subnetsOf(subnets).map(formatPrefix).join();
}

/**
 * Whether the addresses are those of one node: by IPv4 where both have it, else by IPv6, so that a node whose network
 * gains or loses IPv4 is still recognized.
 */
export function isSameNode(a: NodeAddresses, b: NodeAddresses): boolean {
  if (a.publicIp !== undefined && b.publicIp !== undefined) return a.publicIp === b.publicIp;
  return a.publicIpv6 !== undefined && a.publicIpv6 === b.publicIpv6;
}

/** The last part of a lease's key in etcd: 10.5.52.0-24, 10.5.52.0-24&fc00:0:0:1::-64, or 0.0.0.0-0&fc00:0:0:1::-64. */
export function formatLeaseKey({ subnet, ipv6Subnet }: LeaseSubnets): string {
  const key = subnet === undefined ? NO_SUBNET : `${formatIp(subnet.base)}-${subnet.length}`;
  return ipv6Subnet === undefined ? key : `${key}&${formatIp(ipv6Subnet.base)}-${ipv6Subnet.length}`;
}

/**
 * Undefined for a key that is no subnet: flannel ignores such keys. The same for subnets with host bits, which flannel would
 * accept: it never writes them, and the key could not be found again from the subnet.
 */
export function parseLeaseKey(text: string): LeaseSubnets | undefined {
  const match = KEY.exec(text);
  if (match === null) return undefined;
  const [, address, length, address6, length6] = match;
  if (!isIpText(address!, 4) || Number(length) > MAX_IPV4_LENGTH) return undefined;
  // 0.0.0.0/0 stands for no subnet.
  const subnet = Number(length) === 0 ? undefined : prefixFrom(parseIp(address!, 4), Number(length));
  if (address6 === undefined) return sameKey(text, leaseSubnets(subnet, undefined));
  if (!isIpText(address6, 6) || Number(length6) > MAX_IPV6_LENGTH) return undefined;
  return sameKey(text, leaseSubnets(subnet, prefixFrom(parseIp(address6, 6), Number(length6))));
}

/** Byte for byte what Go's json.Marshal makes of flannel's LeaseAttrs (lease/lease.go). */
export function formatLeaseValue(attributes: LeaseAttributes): string {
  return goStringify({
    PublicIP: formatIp(attributes.publicIp ?? unspecifiedIp(4)),
    PublicIPv6: attributes.publicIpv6 === undefined ? null : formatIp(attributes.publicIpv6),
    ...(attributes.backendType !== '' && { BackendType: attributes.backendType }),
    ...(attributes.backendData !== undefined && { BackendData: attributes.backendData }),
    ...(attributes.backendV6Data !== undefined && { BackendV6Data: attributes.backendV6Data }),
  });
}

/** As tolerant as flannel: letter case of keys and unknown keys do not matter, a bad address makes the lease unusable. */
export function parseLeaseValue(text: string): LeaseAttributes {
  const fields = new FieldReader(
    parseJsonObject(text, (reason) => invalid(`the value is ${reason}`)),
    invalid,
  );
  // An IPv6-only flannel writes 0.0.0.0.
  const publicIp = fields.parsed('PublicIP', (text) => parseIp(text, 4)) || undefined;
  const publicIpv6 = fields.parsed('PublicIPv6', (text) => parseIp(text, 6)) || undefined;
  // flannel accepts a lease without any address and routes to 0.0.0.0.
  if (publicIp === undefined && publicIpv6 === undefined) throw invalid('it has no PublicIP');
  const backendData = fields.raw('BackendData');
  const backendV6Data = fields.raw('BackendV6Data');
  return {
    ...(publicIp !== undefined && { publicIp }),
    ...(publicIpv6 !== undefined && { publicIpv6 }),
    backendType: fields.string('BackendType') ?? '',
    ...(backendData !== undefined && { backendData }),
    ...(backendV6Data !== undefined && { backendV6Data }),
  };
}

/** Refuses other spellings of the same subnet: two keys would then be one lease. */
function sameKey(text: string, subnets: LeaseSubnets | undefined): LeaseSubnets | undefined {
  return subnets !== undefined && formatLeaseKey(subnets) === text ? subnets : undefined;
}

function invalid(message: string): FlannelError {
  return new FlannelError('INVALID_LEASE', `Invalid lease: ${message}`);
}
