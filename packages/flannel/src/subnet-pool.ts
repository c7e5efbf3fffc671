import { addressBits, type Family } from '@flannel-ts/inet/family';
import { addToIp, formatIp, type Ip, parseIp } from '@flannel-ts/inet/ip';
import {
  formatPrefix,
  lastAddress,
  type Prefix,
  parsePrefix,
  prefixContains,
  prefixFrom,
} from '@flannel-ts/inet/prefix';
import { invalidNetworkConfig as invalid } from './errors.ts';
import type { FieldReader } from './go-json.ts';

interface PoolOf<F extends Family> {
  readonly network: Prefix<F>;
  /** Prefix length of each node's subnet. */
  readonly subnetLength: number;
  /** Bases of the first and the last subnet that may be leased. */
  readonly subnetMin: Ip<F>;
  readonly subnetMax: Ip<F>;
}

/** The subnets of one family that nodes may lease. */
export type SubnetPool<F extends Family = Family> = { readonly 4: PoolOf<4>; readonly 6: PoolOf<6> }[F];

/** One for each family that the network has. */
export type SubnetPools = { readonly [F in Family]?: SubnetPool<F> };

/** The keys of the network config; flannel has the rules twice (subnet/config.go). */
export const POOL_KEYS = {
  4: { network: 'Network', length: 'SubnetLen', min: 'SubnetMin', max: 'SubnetMax' },
  6: { network: 'IPv6Network', length: 'IPv6SubnetLen', min: 'IPv6SubnetMin', max: 'IPv6SubnetMax' },
} as const;
/** Networks for examples. */
export const EXAMPLES = { 4: '10.244.0.0/16', 6: 'fd00:244::/48' } as const;
const DEFAULT_LENGTH = { 4: 24, 6: 64 } as const;

/** Checks all that flannel checks, with its defaults. An address of 0 counts as not given, as in Go. */
export function parseSubnetPool<F extends Family>(fields: FieldReader, family: F): SubnetPool<F> {
  const keys = POOL_KEYS[family];
  const network: Prefix | undefined = fields.parsed(keys.network, (text) => parsePrefix(text, family));
  if (network === undefined || (!network.base && network.length === 0)) {
    throw invalid(
      `please define a correct ${keys.network} parameter in the flannel config, like "${keys.network}": "${EXAMPLES[family]}"`,
      keys.network,
    );
  }
  const subnetLength = checkSubnetLength(network, fields.integerWithin(keys.length, 0, 255));
  const address = (key: string): Ip | undefined => fields.parsed(key, (text) => parseIp(text, family)) || undefined;
  const size = 1n << BigInt(addressBits(family) - subnetLength);
  // The first subnet is left out: its first address is the network's own (flannel: "otherwise it causes problems").
  const subnetMin = address(keys.min) ?? addToIp<Ip>(network.base, size);
  const subnetMax = address(keys.max) ?? addToIp<Ip>(lastAddress(network), 1n - size);
  checkBound(keys.min, subnetMin, network, subnetLength);
  checkBound(keys.max, subnetMax, network, subnetLength);
  // flannel does not look at this and then finds no subnet.
  if (subnetMin > subnetMax) {
    throw invalid(
      `${keys.min} ${formatIp(subnetMin)} is after ${keys.max} ${formatIp(subnetMax)}: exchange them`,
      keys.min,
    );
  }
  return { network, subnetLength, subnetMin, subnetMax } as SubnetPool as SubnetPool<F>;
}

/** Defaults are written out: they then hold whoever reads it. */
export function formatSubnetPool({ network, subnetLength, subnetMin, subnetMax }: SubnetPool): object {
  const keys = POOL_KEYS[network.family];
  return {
    [keys.network]: formatPrefix(network),
    [keys.length]: subnetLength,
    [keys.min]: formatIp(subnetMin),
    [keys.max]: formatIp(subnetMax),
  };
}

function checkBound(key: string, address: Ip, network: Prefix, subnetLength: number): void {
  const text = formatIp(address);
  if (!prefixContains(network, address)) {
    const { network: networkKey } = POOL_KEYS[network.family];
    throw invalid(`${key} is not in the range of the ${networkKey}: ${text} is outside ${formatPrefix(network)}`, key);
  }
  const subnet = prefixFrom<Ip>(address, subnetLength);
  if (subnet.base !== address) {
    throw invalid(
      `${key} is not on a SubnetLen boundary: ${text} is inside the subnet ${formatPrefix(subnet)}, write ${formatIp(subnet.base)}`,
      key,
    );
  }
}

function checkSubnetLength(network: Prefix, given: number | undefined): number {
  const keys = POOL_KEYS[network.family];
  const bits = addressBits(network.family);
  if (given) {
    const longest = bits - 2; // a tunnel and a bridge on each node need addresses
    if (given > longest) {
      throw invalid(`SubnetLen must be less than /${longest + 1}: ${keys.length} is ${given}`, keys.length);
    }
    if (given < network.length + 2) {
      throw invalid(
        `network must be able to accommodate at least four subnets: ${keys.length} ${given} in ` +
          `${formatPrefix(network)}, write ${keys.length} ${network.length + 2} or more or a larger ${keys.network}`,
        keys.length,
      );
    }
    return given;
  }
  const smallest = bits - 4;
  if (network.length > smallest) {
    throw invalid(
      `${keys.network} is too small. Minimum useful network prefix is /${smallest}: ` +
        `${keys.network} is ${formatPrefix(network)}`,
      keys.network,
    );
  }
  const usual = DEFAULT_LENGTH[network.family];
  return network.length <= usual - 2 ? usual : network.length + 2;
}
