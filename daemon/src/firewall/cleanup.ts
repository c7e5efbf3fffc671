/** Removes flannel's rules, ours and real flannel's, from this node. */
import type { NftOptions } from '@flannel-ts/nft/run';
import { changeForward, readForeignTables, removeLeftovers } from './foreign.ts';
import { planForwardRemoval } from './forward.ts';
import { planLeftovers } from './leftovers.ts';

export interface FoundRules {
  /** In words. */
  readonly names: readonly string[];
  remove(): Promise<void>;
}

/** Those of these networks, or with `undefined` of all. */
export async function findRules(
  networks: readonly string[] | undefined,
  options: NftOptions = {},
): Promise<FoundRules> {
  const placed = await readForeignTables(options);
  const changes = planForwardRemoval(placed, networks);
  const leftovers = planLeftovers(placed, networks);
  const accepts = changes.map(
    ({ rule }) => `the rule that accepts ${rule.side} ${rule.network} in ${rule.family} filter`,
  );
  return {
    names: [...accepts, ...leftovers.names],
    async remove() {
      await changeForward(changes, options);
      // Numbers of legacy rules have changed.
      const rest = changes.length > 0 ? planLeftovers(await readForeignTables(options), networks) : leftovers;
      await removeLeftovers(rest, options);
    },
  };
}
