import { formatIpv4, IPV4_ANY, type Ipv4, isIpv4Text, parseIpv4 } from '@flannel-ts/inet/ipv4';
import { formatIpv6, type Ipv6, isIpv6Text, parseIpv6 } from '@flannel-ts/inet/ipv6';
import { type Ipv6Prefix, ipv6Prefix } from '@flannel-ts/inet/ipv6-prefix';
import { type Ipv4Prefix, ipv4Prefix } from '@flannel-ts/inet/prefix';
import { FlannelError } from './errors.ts';
import { FieldReader, goStringify, parseJsonObject } from './go-json.ts';

export interface LeaseAttributes {
  readonly publicIp: Ipv4;
  readonly publicIpv6?: Ipv6;
  /** '' for udp and alloc: flannel writes no type for them. */
  readonly backendType: string;
  /** What the backend tells its peers, like vxlan's {"VNI":1,"VtepMAC":"..."}; any JSON. */
  readonly backendData?: unknown;
  readonly backendV6Data?: unknown;
}

export interface LeaseSubnets {
  readonly subnet: Ipv4Prefix;
  readonly ipv6Subnet?: Ipv6Prefix;
}

export interface Lease extends LeaseSubnets {
  readonly attributes: LeaseAttributes;
}

// flannel: subnet/subnet.go, subnetRegex; ParseUint takes 5 bits for the IPv4 length and 7 for the IPv6 one.
const KEY = /^([\d.]+)-(\d+)(?:&([a-f\d:]+)-(\d+))?$/;
const MAX_IPV4_LENGTH = 31;
const MAX_IPV6_LENGTH = 127;

/** The last part of a lease's key in etcd: 10.5.52.0-24, or 10.5.52.0-24&fc00:0:0:1::-64. */
export function formatLeaseKey(subnet: Ipv4Prefix, ipv6Subnet?: Ipv6Prefix): string {
  const key = `${formatIpv4(subnet.base)}-${subnet.length}`;
  return ipv6Subnet === undefined ? key : `${key}&${formatIpv6(ipv6Subnet.base)}-${ipv6Subnet.length}`;
}

/**
 * Undefined for a key that is no subnet: flannel passes over such keys. So are subnets with host bits, which flannel would
 * take: it never writes them, and the key could not be found again from the subnet.
 */
export function parseLeaseKey(text: string): LeaseSubnets | undefined {
  const match = KEY.exec(text);
  if (match === null) return undefined;
  const [, address, length, address6, length6] = match;
  if (!isIpv4Text(address!) || Number(length) > MAX_IPV4_LENGTH) return undefined;
  const subnet = ipv4Prefix(parseIpv4(address!), Number(length));
  if (address6 === undefined) return sameKey(text, { subnet });
  if (!isIpv6Text(address6) || Number(length6) > MAX_IPV6_LENGTH) return undefined;
  return sameKey(text, { subnet, ipv6Subnet: ipv6Prefix(parseIpv6(address6), Number(length6)) });
}

/** Byte for byte what Go's json.Marshal makes of flannel's LeaseAttrs (lease/lease.go). */
export function formatLeaseValue(attributes: LeaseAttributes): string {
  return goStringify({
    PublicIP: formatIpv4(attributes.publicIp),
    PublicIPv6: attributes.publicIpv6 === undefined ? null : formatIpv6(attributes.publicIpv6),
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
  const publicIp = fields.parsed('PublicIP', parseIpv4);
  const publicIpv6 = fields.parsed('PublicIPv6', parseIpv6);
  // flannel takes a lease without any address and routes to 0.0.0.0.
  if (publicIp === undefined && publicIpv6 === undefined) throw invalid('it has no PublicIP');
  const backendData = fields.raw('BackendData');
  const backendV6Data = fields.raw('BackendV6Data');
  return {
    // An IPv6-only flannel writes 0.0.0.0.
    publicIp: publicIp ?? IPV4_ANY,
    ...(publicIpv6 !== undefined && { publicIpv6 }),
    backendType: fields.string('BackendType') ?? '',
    ...(backendData !== undefined && { backendData }),
    ...(backendV6Data !== undefined && { backendV6Data }),
  };
}

/** Refuses other spellings of the same subnet: two keys would then be one lease. */
function sameKey(text: string, subnets: LeaseSubnets): LeaseSubnets | undefined {
  return formatLeaseKey(subnets.subnet, subnets.ipv6Subnet) === text ? subnets : undefined;
}

function invalid(message: string): FlannelError {
  return new FlannelError('INVALID_LEASE', `Invalid lease: ${message}`);
}
