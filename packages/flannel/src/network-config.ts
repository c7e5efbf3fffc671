import type { Family } from '@flannel-ts/inet/family';
import { MIN_IPV4_MTU, MIN_IPV6_MTU } from '@flannel-ts/inet/mtu';
import { type BackendConfig, formatBackendConfig, KNOWN_BACKENDS, parseBackendConfig } from './backend-config.ts';
import { backendOverhead } from './backend-needs.ts';
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

/** As written: flannel and we read them in any letter case. */
export const NETWORK_CONFIG_KEYS = [
  ...['EnableIPv4', 'EnableIPv6', 'EnableNFTables', 'Network', 'SubnetMin', 'SubnetMax', 'SubnetLen'],
  ...['IPv6Network', 'IPv6SubnetMin', 'IPv6SubnetMax', 'IPv6SubnetLen', 'Backend'],
];

/** Checks all that flannel's ParseConfig and CheckNetworkConfig check (subnet/config.go), with their defaults. */
export function parseNetworkConfig(json: string): NetworkConfig {
  const fields = new FieldReader(
    parseJsonObject(json.replace(/^\uFEFF/, ''), (reason) =>
      invalid(quotingMistake(json) ?? `the text is ${/PSK/i.test(json) ? 'not valid JSON' : reason}`, ''),
    ),
    invalid,
  );
  const enableIpv4 = fields.boolean('EnableIPv4') ?? true;
  const enableIpv6 = fields.boolean('EnableIPv6') ?? false;
  if (!enableIpv4 && !enableIpv6)
    throw invalid('EnableIPv4 and EnableIPv6 are both false: enable at least one of them', 'EnableIPv4');
  const config: NetworkConfig = {
    enableNftables: fields.boolean('EnableNFTables') ?? false,
    pools: {
      ...(enableIpv4 && { 4: parseSubnetPool(fields, 4) }),
      ...(enableIpv6 && { 6: parseSubnetPool(fields, 6) }),
    },
    backend: parseBackendConfig(fields.raw('Backend')),
  };
  checkOuterFamily(config);
  checkBackendFits(config);
  return config;
}

/** The addresses that nodes reach each other by: what the backend's Mode says, else IPv4 unless the network has none. */
export function outerFamily({ pools, backend }: Pick<NetworkConfig, 'pools' | 'backend'>): Family {
  if (backend.type === 'udp' && backend.outer !== undefined) return backend.outer;
  if (backend.type === 'wireguard' && backend.mode === 'ipv6') return 6;
  if (backend.type === 'wireguard' && backend.mode === 'ipv4') return 4;
  return pools[4] ? 4 : 6;
}

/**
 * Those that an interface must have an address of. The backends of the kernel carry each family inside by the same family outside,
 * so that dual stack needs both (flannel ipmatch/match.go).
 */
export function outerFamilies(config: Pick<NetworkConfig, 'pools' | 'backend'>): readonly [Family, ...Family[]] {
  const { pools, backend } = config;
  // One tunnel for both families runs between addresses of one, which flannel does not make use of.
  const isOneTunnel =
    backend.type === 'udp' || (backend.type === 'wireguard' && (backend.mode === 'ipv4' || backend.mode === 'ipv6'));
  return pools[4] && pools[6] && !isOneTunnel ? [4, 6] : [outerFamily(config)];
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
    `Mode "ipv6" of the ${config.backend.type} backend needs EnableIPv6: set EnableIPv6 to true with an IPv6Network, or Mode to "ipv4"`,
    'Backend.Mode',
  );
}

/** What flannel finds out when it runs, or never. */
function checkBackendFits({ pools, backend }: NetworkConfig): void {
  if (backend.type === 'ipip' && pools[6]) {
    throw invalid(
      'the ipip backend carries IPv4 only: set EnableIPv6 to false, or Backend.Type to one that carries IPv6, like vxlan',
      'Backend.Type',
    );
  }
  if (backend.type === 'wireguard' && backend.mode === 'separate' && pools[4] && pools[6]) {
    if (backend.listenPort === backend.listenPortV6) {
      throw invalid(
        `ListenPort and ListenPortV6 are both ${backend.listenPort}: two tunnels cannot have one port, set another ListenPortV6`,
        'Backend.ListenPortV6',
      );
    }
  }
  if ((backend.type === 'vxlan' || backend.type === 'wireguard') && backend.mtu !== undefined) {
    const overhead = backendOverhead(backend.type, pools[6] ? 6 : 4);
    const least = (pools[6] ? MIN_IPV6_MTU : MIN_IPV4_MTU) + overhead;
    if (backend.mtu < least) {
      throw invalid(
        `MTU ${backend.mtu} of the ${backend.type} backend leaves ${backend.mtu - overhead} bytes for packets of pods: ` +
          `set it to ${least} or more, or leave it out`,
        'Backend.MTU',
      );
    }
  }
}
