import type { Family } from '@flannel-ts/inet/family';
import { type BackendConfig, formatBackendConfig, KNOWN_BACKENDS, parseBackendConfig } from './backend-config.ts';
import { invalidNetworkConfig as invalid } from './errors.ts';
import { FieldReader, goStringify, parseJsonObject } from './go-json.ts';
import { formatSubnetPool, parseSubnetPool, type SubnetPools } from './subnet-pool.ts';

export { type BackendConfig, KNOWN_BACKENDS };

/** The value of `<prefix>/config` in etcd, with every default filled in. */
export interface NetworkConfig {
  /** At least one. */
  readonly pools: SubnetPools;
  readonly enableNftables: boolean;
  readonly backend: BackendConfig;
}

/** Checks all that flannel's ParseConfig and CheckNetworkConfig check (subnet/config.go), with their defaults. */
export function parseNetworkConfig(json: string): NetworkConfig {
  const fields = new FieldReader(
    parseJsonObject(json.replace(/^\uFEFF/, ''), (reason) => invalid(quotingMistake(json) ?? `the text is ${reason}`)),
    invalid,
  );
  const enableIpv4 = fields.boolean('EnableIPv4') ?? true;
  const enableIpv6 = fields.boolean('EnableIPv6') ?? false;
  if (!enableIpv4 && !enableIpv6)
    throw invalid('EnableIPv4 and EnableIPv6 are both false: enable at least one of them');
  const config: NetworkConfig = {
    enableNftables: fields.boolean('EnableNFTables') ?? false,
    pools: {
      ...(enableIpv4 && { 4: parseSubnetPool(fields, 4) }),
      ...(enableIpv6 && { 6: parseSubnetPool(fields, 6) }),
    },
    backend: parseBackendConfig(fields.raw('Backend')),
  };
  checkOuterFamily(config);
  return config;
}

/** The addresses that nodes reach each other by: what the backend's Mode says, else IPv4 unless the network has none. */
export function outerFamily({ pools, backend }: Pick<NetworkConfig, 'pools' | 'backend'>): Family {
  const asked = backend.type === 'udp' ? backend.outer : undefined;
  return asked ?? (pools[4] ? 4 : 6);
}

/**
 * Those that an interface must have an address of. The backends of the kernel carry each family inside by the same family outside,
 * so that dual stack needs both (flannel ipmatch/match.go).
 */
export function outerFamilies(config: Pick<NetworkConfig, 'pools' | 'backend'>): readonly [Family, ...Family[]] {
  if (config.backend.type === 'udp') return [outerFamily(config)];
  return config.pools[4] && config.pools[6] ? [4, 6] : [config.pools[4] ? 4 : 6];
}

/** What a shell or a template makes of the JSON before it gets into etcd, in words; undefined when it is something else. */
function quotingMistake(text: string): string | undefined {
  const trimmed = text.replace(/^\uFEFF/, '').trim();
  if (/^\{\s*\\+"/.test(trimmed)) {
    return 'there are backslashes before its quotes: store the JSON without them, like {"Network":"10.244.0.0/16"}';
  }
  if (/^(['"])\s*\{.*\1$/s.test(trimmed)) {
    return `the JSON is inside ${trimmed[0] === '"' ? 'double' : 'single'} quotes: store it without them, like {"Network":"10.244.0.0/16"}`;
  }
  return undefined;
}

/** JSON for etcd that flannel reads, too. Defaults are written out: they then hold whoever reads it. */
export function formatNetworkConfig({ pools, enableNftables, backend }: NetworkConfig): string {
  return goStringify({
    ...(pools[4] ? formatSubnetPool(pools[4]) : { EnableIPv4: false }),
    ...(pools[6] && { EnableIPv6: true, ...formatSubnetPool(pools[6]) }),
    ...(enableNftables && { EnableNFTables: true }),
    Backend: formatBackendConfig(backend),
  });
}

/** Nodes that are reached by IPv6 say so in a part of their lease that only networks with IPv6 have (udp-data.ts). */
function checkOuterFamily(config: NetworkConfig): void {
  if (config.pools[6] || outerFamily(config) === 4) return;
  throw invalid(
    'Mode "ipv6" of the udp backend needs EnableIPv6: set EnableIPv6 to true with an IPv6Network, or Mode to "ipv4"',
  );
}
