import type { Family } from '@flannel-ts/inet/family';
import {
  addressAt,
  formatInterfaceAddress,
  formatPrefix,
  type InterfaceAddress,
  type Prefix,
  parseInterfaceAddress,
  parsePrefix,
  samePrefix,
} from '@flannel-ts/inet/prefix';
import { FlannelError } from './errors.ts';
import type { LeaseSubnets } from './lease.ts';
import type { NetworkConfig } from './network-config.ts';

/** The file the daemon writes for the CNI plugin and for scripts, by default /run/flannel/subnet.env. */
export interface SubnetEnv {
  /** Usually one; a list in the file is allowed by the CNI plugin. */
  readonly networks: readonly Prefix<4>[];
  /** The node's subnet, with its first usable address: the bridge's. */
  readonly subnet?: InterfaceAddress<4>;
  readonly ipv6Networks: readonly Prefix<6>[];
  readonly ipv6Subnet?: InterfaceAddress<6>;
  readonly mtu: number;
  /** The daemon masquerades, so the plugin need not. */
  readonly ipMasq: boolean;
}

const KEYS = [
  'FLANNEL_NETWORK',
  'FLANNEL_SUBNET',
  'FLANNEL_IPV6_NETWORK',
  'FLANNEL_IPV6_SUBNET',
  'FLANNEL_MTU',
  'FLANNEL_IPMASQ',
] as const;
type Key = (typeof KEYS)[number];

/** What a node with this lease says: the first address after the subnet's base is the bridge's. */
export function subnetEnvOf(
  { pools }: Pick<NetworkConfig, 'pools'>,
  lease: LeaseSubnets,
  mtu: number,
  ipMasq: boolean,
): SubnetEnv {
  const { subnet, ipv6Subnet } = lease;
  return {
    networks: pools[4] ? [pools[4].network] : [],
    ...(pools[4] && subnet && { subnet: { address: addressAt(subnet, 1), length: subnet.length } }),
    ipv6Networks: pools[6] ? [pools[6].network] : [],
    ...(pools[6] && ipv6Subnet && { ipv6Subnet: { address: addressAt(ipv6Subnet, 1), length: ipv6Subnet.length } }),
    mtu,
    ipMasq,
  };
}

/** Byte for byte flannel's WriteSubnetFile (subnet/subnet.go). */
export function formatSubnetEnv(env: SubnetEnv): string {
  const lines: [Key, string][] = [];
  if (env.subnet !== undefined) {
    lines.push(['FLANNEL_NETWORK', env.networks.map(formatPrefix).join(',')]);
    lines.push(['FLANNEL_SUBNET', formatInterfaceAddress(env.subnet)]);
  }
  if (env.ipv6Subnet !== undefined) {
    lines.push(['FLANNEL_IPV6_NETWORK', env.ipv6Networks.map(formatPrefix).join(',')]);
    lines.push(['FLANNEL_IPV6_SUBNET', formatInterfaceAddress(env.ipv6Subnet)]);
  }
  lines.push(['FLANNEL_MTU', String(env.mtu)], ['FLANNEL_IPMASQ', String(env.ipMasq)]);
  return lines.map(([key, value]) => `${key}=${value}\n`).join('');
}

/**
 * Reads what flannel or we wrote; unknown keys are left alone. `file` is for the messages, which are those of flannel's CNI
 * plugin (flannel.go, loadFlannelSubnetEnv), but for a known key without "=", where that one crashes.
 */
export function parseSubnetEnv(text: string, file = 'subnet.env'): SubnetEnv {
  const values = readLines(text, file);
  const read = <T>(key: Key, what: string, parse: (value: string) => T): T | undefined => {
    const value = values.get(key);
    if (value === undefined) return undefined;
    try {
      return parse(value);
    } catch (error) {
      const message = `${file}: ${key} has an invalid ${what}: ${JSON.stringify(value)}`;
      throw new FlannelError('INVALID_SUBNET_ENV', message, { cause: error });
    }
  };
  const cidr = 'CIDR address';
  const subnet = read('FLANNEL_SUBNET', cidr, (value) => parseInterfaceAddress(value, 4));
  const ipv6Subnet = read('FLANNEL_IPV6_SUBNET', cidr, (value) => parseInterfaceAddress(value, 6));
  const networks = read('FLANNEL_NETWORK', cidr, (list) => distinctPrefixes(list, 4)) ?? [];
  const ipv6Networks = read('FLANNEL_IPV6_NETWORK', cidr, (list) => distinctPrefixes(list, 6)) ?? [];
  const mtu = read('FLANNEL_MTU', 'number', parseMtu);
  // Exactly "true", as upstream; anything else is false.
  const ipMasq = read('FLANNEL_IPMASQ', 'value', (value) => value === 'true');

  const missing: Key[] = [];
  if (networks.length === 0 && ipv6Networks.length === 0) missing.push('FLANNEL_NETWORK', 'FLANNEL_IPV6_NETWORK');
  if (subnet === undefined && ipv6Subnet === undefined) missing.push('FLANNEL_SUBNET', 'FLANNEL_IPV6_SUBNET');
  if (mtu === undefined) missing.push('FLANNEL_MTU');
  if (ipMasq === undefined) missing.push('FLANNEL_IPMASQ');
  if (mtu === undefined || ipMasq === undefined || missing.length > 0) {
    throw new FlannelError('INVALID_SUBNET_ENV', `${file} is missing ${missing.join(', ')}`);
  }
  return {
    networks,
    ...(subnet !== undefined && { subnet }),
    ipv6Networks,
    ...(ipv6Subnet !== undefined && { ipv6Subnet }),
    mtu,
    ipMasq,
  };
}

/** The sentence people search for when pods do not start; `reason` as Go would say it. */
export function subnetEnvFailure(reason: string): string {
  return `failed to load flannel 'subnet.env' file: ${reason}. Check the flannel pod log for this node.`;
}

function readLines(text: string, file: string): Map<Key, string> {
  const values = new Map<Key, string>();
  for (const line of text.split(/\r?\n/)) {
    const equals = line.indexOf('=');
    const key = KEYS.find((known) => known === (equals < 0 ? line : line.slice(0, equals)).trim());
    if (key === undefined) continue;
    if (equals < 0) throw new FlannelError('INVALID_SUBNET_ENV', `${file}: ${key} has no value: write ${key}=...`);
    values.set(key, unquote(line.slice(equals + 1).trim()));
  }
  return values;
}

/** Shell scripts source the file, too, so somebody's copy may have quotes. */
function unquote(value: string): string {
  return /^(["']).*\1$/.test(value) ? value.slice(1, -1) : value;
}

function distinctPrefixes<F extends Family>(list: string, family: F): Prefix<F>[] {
  const prefixes = list.split(',').map((text) => parsePrefix(text, family));
  return prefixes.filter((prefix, i) => prefixes.findIndex((other) => samePrefix(other, prefix)) === i);
}

function parseMtu(text: string): number {
  if (!/^\d{1,10}$/.test(text) || Number(text) > 0xffff_ffff) throw new RangeError('not a 32-bit number');
  return Number(text);
}
