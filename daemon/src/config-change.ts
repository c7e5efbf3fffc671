/** What a new network config means for a node that has joined by another one. Pure. */
import { formatBackendConfig } from '@flannel-ts/flannel/backend-config';
import type { NetworkConfig } from '@flannel-ts/flannel/network-config';
import { formatSubnetPool } from '@flannel-ts/flannel/subnet-pool';
import { FAMILIES, type Family, familyName } from '@flannel-ts/inet/family';

export type ConfigChange =
  | { readonly kind: 'none' }
  /** The data path takes it over while it runs. */
  | { readonly kind: 'live' }
  /** Everything but the subnets is made anew; `what` is for the log. */
  | { readonly kind: 'join'; readonly what: string }
  /** Pods have addresses that no longer fit: too much to follow because somebody edited a key. */
  | { readonly kind: 'restart'; readonly reason: string };

export function configChange(before: NetworkConfig, after: NetworkConfig): ConfigChange {
  const common = FAMILIES.filter((family) => before.pools[family] && after.pools[family]);
  const moved = common.find((family) => poolText(before, family) !== poolText(after, family));
  if (moved !== undefined) {
    return { kind: 'restart', reason: `another ${familyName(moved)} network` };
  }
  if (common.length === 0) return { kind: 'restart', reason: 'no address family is left of those that pods have' };
  const what = [...familiesChanged(before, after), ...backendChanged(before, after)];
  if (before.enableNftables !== after.enableNftables) what.push(`EnableNFTables ${after.enableNftables}`);
  if (what.length > 0) return { kind: 'join', what: what.join(', ') };
  return JSON.stringify(formatBackendConfig(before.backend)) === JSON.stringify(formatBackendConfig(after.backend))
    ? { kind: 'none' }
    : { kind: 'live' };
}

function familiesChanged(before: NetworkConfig, after: NetworkConfig): string[] {
  return FAMILIES.flatMap((family) => {
    const [had, has] = [before.pools[family] !== undefined, after.pools[family] !== undefined];
    return had === has ? [] : [`${familyName(family)} ${has ? 'on' : 'off'}`];
  });
}

function backendChanged(before: NetworkConfig, after: NetworkConfig): string[] {
  const texts = [before, after].map(({ backend }) => JSON.stringify(withoutLive(backend)));
  if (texts[0] === texts[1]) return [];
  const [from, to] = [before.backend.type, after.backend.type];
  return [from === to ? `other settings of the ${to} backend` : `backend ${to} instead of ${from}`];
}

/** What a data path takes over while it runs is left out. */
function withoutLive(backend: NetworkConfig['backend']): object {
  if (backend.type !== 'udp') return backend;
  const { engine: _engine, offload: _offload, busyPollUs: _busyPollUs, sourcePorts: _sourcePorts, ...rest } = backend;
  return rest;
}

function poolText({ pools }: NetworkConfig, family: Family): string {
  return JSON.stringify(formatSubnetPool(pools[family]!));
}
