/** Where rules stand: in nftables, or in the tables that the older iptables has in the kernel. */
import type { ListedChain, ListedTable } from '@flannel-ts/nft/listing';
import type { Hook } from '@flannel-ts/nft/ruleset';

/** Of nftables, which iptables-nft's tables are part of, or the older iptables' own in the kernel. */
export type Place = 'nft' | 'legacy';

export interface PlacedTables {
  readonly place: Place;
  readonly tables: readonly ListedTable[];
}

/** The base chains of a hook that packets of the family pass. */
export function chainsOf(
  tables: readonly ListedTable[],
  family: 'ip' | 'ip6',
  hook: Hook['hook'],
): (readonly [ListedTable, ListedChain])[] {
  return tables
    .filter((table) => table.family === family || table.family === 'inet')
    .flatMap((table) => table.chains.map((chain) => [table, chain] as const))
    .filter(([, chain]) => chain.hook?.hook === hook);
}

/** Whose command changes such a table. */
export function iptablesProgram(place: Place, family: 'ip' | 'ip6'): string {
  return `${family}tables${place === 'legacy' ? '-legacy' : ''}`;
}

/** For messages. */
export function describePlace(place: Place, table: ListedTable, chain: ListedChain): string {
  return place === 'legacy'
    ? `iptables-legacy, chain ${chain.name}`
    : `nftables table ${table.family} ${table.name}, chain ${chain.name}`;
}
