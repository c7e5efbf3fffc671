import { formatIp, parseIp } from '@flannel-ts/inet/ip';
import { IPV4_ANY, type Ipv4 } from '@flannel-ts/inet/ipv4';
import type { Ipv6 } from '@flannel-ts/inet/ipv6';
import { formatPrefix, type Prefix, parsePrefix, prefixFrom } from '@flannel-ts/inet/prefix';
import {
  type BackendConfig,
  formatBackendConfig,
  KNOWN_BACKENDS,
  type OuterMode,
  parseBackendConfig,
} from './backend-config.ts';
import { invalidNetworkConfig as invalid } from './errors.ts';
import { FieldReader, goStringify, parseJsonObject } from './go-json.ts';
import { type FamilyRules, subnetRange } from './subnet-range.ts';

export { type BackendConfig, KNOWN_BACKENDS };

export interface Ipv6NetworkConfig {
  readonly network: Prefix<6>;
  readonly subnetLength: number;
  readonly subnetMin: Ipv6;
  readonly subnetMax: Ipv6;
}

/** The value of `<prefix>/config` in etcd, with every default filled in. */
export interface NetworkConfig {
  readonly enableIpv4: boolean;
  readonly enableIpv6: boolean;
  readonly enableNftables: boolean;
  /** NO_IPV4_NETWORK when IPv4 is off. */
  readonly network: Prefix<4>;
  readonly subnetLength: number;
  /** Bases of the first and the last subnet that may be leased. */
  readonly subnetMin: Ipv4;
  readonly subnetMax: Ipv4;
  readonly ipv6?: Ipv6NetworkConfig;
  readonly backend: BackendConfig;
}

/** Holds no address a node could have, so that a forgotten check of `enableIpv4` routes nothing. */
export const NO_IPV4_NETWORK: Prefix<4> = prefixFrom(IPV4_ANY, 32);

const IPV4_RULES: FamilyRules = {
  keyPrefix: '',
  bits: 32,
  defaultLength: 24,
  format: (address) => formatIp(Number(address) as Ipv4),
};
const IPV6_RULES: FamilyRules = {
  keyPrefix: 'IPv6',
  bits: 128,
  defaultLength: 64,
  format: (address) => formatIp(address as Ipv6),
};

/** Checks all that flannel's ParseConfig and CheckNetworkConfig check (subnet/config.go), with their defaults. */
export function parseNetworkConfig(json: string): NetworkConfig {
  const fields = new FieldReader(
    parseJsonObject(json, (reason) => invalid(`the text is ${reason}`)),
    invalid,
  );
  const enableIpv4 = fields.boolean('EnableIPv4', true);
  const enableIpv6 = fields.boolean('EnableIPv6', false);
  if (!enableIpv4 && !enableIpv6)
    throw invalid('EnableIPv4 and EnableIPv6 are both false: enable at least one of them');
  const config: NetworkConfig = {
    enableIpv4,
    enableIpv6,
    enableNftables: fields.boolean('EnableNFTables', false),
    ...(enableIpv4 ? parseIpv4Part(fields) : NO_IPV4),
    ...(enableIpv6 && { ipv6: parseIpv6Part(fields) }),
    backend: parseBackendConfig(fields.raw('Backend')),
  };
  checkOuterMode(config);
  return config;
}

/** What nodes reach each other by: what the backend's Mode says, else IPv4 unless the network has none. */
export function outerMode({ enableIpv4, backend }: Pick<NetworkConfig, 'enableIpv4' | 'backend'>): OuterMode {
  const asked = backend.type === 'udp' ? backend.mode : undefined;
  return asked ?? (enableIpv4 ? 'ipv4' : 'ipv6');
}

/** JSON for etcd that flannel reads, too. Defaults are written out: they then hold whoever reads it. */
export function formatNetworkConfig(config: NetworkConfig): string {
  return goStringify({
    ...(config.enableIpv4
      ? {
          Network: formatPrefix(config.network),
          SubnetLen: config.subnetLength,
          SubnetMin: formatIp(config.subnetMin),
          SubnetMax: formatIp(config.subnetMax),
        }
      : { EnableIPv4: false }),
    ...(config.ipv6 && {
      EnableIPv6: true,
      IPv6Network: formatPrefix(config.ipv6.network),
      IPv6SubnetLen: config.ipv6.subnetLength,
      IPv6SubnetMin: formatIp(config.ipv6.subnetMin),
      IPv6SubnetMax: formatIp(config.ipv6.subnetMax),
    }),
    ...(config.enableNftables && { EnableNFTables: true }),
    Backend: formatBackendConfig(config.backend),
  });
}

/** Nodes that are reached by IPv6 say so in a part of their lease that only networks with IPv6 have (udp-data.ts). */
function checkOuterMode(config: NetworkConfig): void {
  if (config.enableIpv6 || outerMode(config) === 'ipv4') return;
  throw invalid(
    'Mode "ipv6" of the udp backend needs EnableIPv6: set EnableIPv6 to true with an IPv6Network, or Mode to "ipv4"',
  );
}

type Ipv4Part = Pick<NetworkConfig, 'network' | 'subnetLength' | 'subnetMin' | 'subnetMax'>;

const NO_IPV4: Ipv4Part = { network: NO_IPV4_NETWORK, subnetLength: 32, subnetMin: IPV4_ANY, subnetMax: IPV4_ANY };

function parseIpv4Part(fields: FieldReader): Ipv4Part {
  const network = fields.parsed('Network', (text) => parsePrefix(text, 4));
  if (network === undefined || (network.base === 0 && network.length === 0)) {
    throw invalid('please define a correct Network parameter in the flannel config, like "Network": "10.244.0.0/16"');
  }
  const address = (name: string): bigint | undefined => {
    const value = fields.parsed(name, (text) => parseIp(text, 4));
    return value === undefined ? undefined : BigInt(value);
  };
  const range = subnetRange(IPV4_RULES, {
    base: BigInt(network.base),
    networkLength: network.length,
    length: fields.integer('SubnetLen', 0, 255),
    min: address('SubnetMin'),
    max: address('SubnetMax'),
  });
  return {
    network,
    subnetLength: range.length,
    subnetMin: Number(range.min) as Ipv4,
    subnetMax: Number(range.max) as Ipv4,
  };
}

function parseIpv6Part(fields: FieldReader): Ipv6NetworkConfig {
  const network = fields.parsed('IPv6Network', (text) => parsePrefix(text, 6));
  if (network === undefined || (network.base === 0n && network.length === 0)) {
    throw invalid(
      'please define a correct IPv6Network parameter in the flannel config, like "IPv6Network": "fd00:244::/48"',
    );
  }
  const range = subnetRange(IPV6_RULES, {
    base: network.base,
    networkLength: network.length,
    length: fields.integer('IPv6SubnetLen', 0, 255),
    min: fields.parsed('IPv6SubnetMin', (text) => parseIp(text, 6)),
    max: fields.parsed('IPv6SubnetMax', (text) => parseIp(text, 6)),
  });
  return { network, subnetLength: range.length, subnetMin: range.min as Ipv6, subnetMax: range.max as Ipv6 };
}
