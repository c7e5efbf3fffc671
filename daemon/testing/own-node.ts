/** A node whose host has nothing in the way of its leases. */
import { type Prefix, parsePrefix } from '@flannel-ts/inet/prefix';
import type { OwnNode, Surroundings } from '../src/backend/backend.ts';
import { externalAt } from './external.ts';

export const QUIET: Surroundings = { addresses: [], required: [], tunnelled: new Map(), direct: new Map() };

/** At least one subnet, at most one of each family. */
export function ownNodeAt(
  addresses: readonly string[],
  subnets: readonly string[],
  more: Partial<OwnNode> = {},
): OwnNode {
  const prefixes: Prefix[] = subnets.map((text) => parsePrefix(text));
  const ofFamily = Object.fromEntries(
    prefixes.map((prefix) => [prefix.family === 4 ? 'subnet' : 'ipv6Subnet', prefix]),
  );
  return { external: externalAt(addresses), ...ofFamily, ...QUIET, ...more } as OwnNode;
}
