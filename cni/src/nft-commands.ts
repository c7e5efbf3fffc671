import type { Command, TableName } from '@flannel-ts/nft/kernel/commands';
import type { Chain, Rule } from '@flannel-ts/nft/ruleset';

/** A chain with these rules and no others, whether it was there or not. */
export function chainWith(
  table: TableName,
  chain: Pick<Chain, 'name' | 'hook'>,
  rules: readonly Rule[],
): readonly Command[] {
  return [
    { do: 'add chain', table, chain },
    { do: 'flush chain', table, chain: chain.name },
    ...rules.map((rule): Command => ({ do: 'add rule', table, chain: chain.name, rule })),
  ];
}

/** A chain that all pods of a subnet share. */
export function subnetChain(prefix: string, subnet: string): string {
  return `${prefix}_${subnet.replace(/[/:]/g, '_')}`;
}
