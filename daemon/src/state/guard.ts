import { formatPrefix, type Prefix } from '@flannel-ts/inet/prefix';

const GUARD_METRICS_FROM = 0xf000_0000;

/**
 * The metric of the unreachable routes of a network: the last choice of all, and another one for each network (FNV-1a), so that
 * networks inside each other know theirs.
 */
export function guardMetric(network: Prefix): number {
  let hash = 0x811c_9dc5;
  for (const character of formatPrefix(network)) hash = Math.imul(hash ^ character.charCodeAt(0), 0x0100_0193) >>> 0;
  return GUARD_METRICS_FROM + (hash & 0x00ff_ffff);
}
