/** What a network config means, and what is wrong with it, as text for a terminal. Pure. */
import { backendNeeds, describeCarriers } from '@flannel-ts/flannel/backend-needs';
import type { ConfigFault } from '@flannel-ts/flannel/errors';
import { type NetworkConfig, outerFamilies } from '@flannel-ts/flannel/network-config';
import type { SubnetPool } from '@flannel-ts/flannel/subnet-pool';
import { FAMILIES, familyName } from '@flannel-ts/inet/family';
import { formatIp } from '@flannel-ts/inet/ip';
import { formatPrefix } from '@flannel-ts/inet/prefix';
import { formatFacts, wrap } from './layout.ts';

/** Base address, bridge and broadcast address of an IPv4 subnet are no pod's. */
const RESERVED_PER_SUBNET = 3;

export interface Mtu {
  /** Of the interface between the nodes. */
  readonly outside: number;
  /** What is left for packets of pods. */
  readonly inside: number;
}

/** Ends without a newline. */
export function formatConfig(config: NetworkConfig, mtus: readonly Mtu[], width: number): string {
  const { pools, backend } = config;
  const outer = outerFamilies(config);
  const mtu = mtus.map(
    ({ inside, outside }) => `${inside} for pods where the interface between the nodes has ${outside}`,
  );
  return formatFacts(
    [
      ...FAMILIES.flatMap((family): [string, string][] => {
        const pool = pools[family];
        return pool === undefined ? [] : [[familyName(family), describePool(pool)]];
      }),
      ['backend', backend.type],
      ['nodes', [`reach each other by ${outer.map(familyName).join(' and ')}`, ...describeNeeds(config)].join('; ')],
      ...(mtu.length > 0 ? [['MTU', mtu.join(', ')] as const] : []),
    ],
    width,
  );
}

/** `file` stands for what has no key. Ends without a newline. */
export function formatFaults(faults: readonly ConfigFault[], file: string, width: number): string {
  const lines = faults.map(({ key, reason }) => wrap(`${key === '' ? file : key}: ${reason}`, width, '  '));
  return ['FAULTS', ...lines].join('\n');
}

function describePool({ network, subnetLength, subnetMin, subnetMax }: SubnetPool): string {
  const bits = network.family === 4 ? 32 : 128;
  const count = ((BigInt(subnetMax) - BigInt(subnetMin)) >> BigInt(bits - subnetLength)) + 1n;
  const range = `from ${formatIp(subnetMin)} to ${formatIp(subnetMax)}`;
  const pods =
    network.family === 4 ? `, each with ${2 ** (bits - subnetLength) - RESERVED_PER_SUBNET} pod addresses` : '';
  const subnets = count === 1n ? '1 subnet' : `${count} subnets`;
  return `${formatPrefix(network)}: ${subnets} of length ${subnetLength}, ${range}${pods}`;
}

function describeNeeds(config: NetworkConfig): string[] {
  const { carriers, barePackets, oneLink, linkKind } = backendNeeds(config.backend, outerFamilies(config));
  return [
    ...(carriers.length > 0 ? [`${describeCarriers(carriers)} has to be open between them`] : []),
    ...(barePackets ? ['packets with addresses of pods must not be dropped between them'] : []),
    ...(oneLink ? ['all have to be on one link'] : []),
    ...(linkKind === undefined ? [] : [`their kernel needs ${linkKind} devices`]),
  ];
}
