/** Takes flannel's rules off this node, ours and real flannel's. */
import type { NftOptions } from '@flannel-ts/nft/run';
import { changeForward, readForeignTables, removeLeftovers } from './foreign.ts';
import { planForwardRemoval } from './forward.ts';
import { planLeftovers } from './leftovers.ts';

/** Those of these networks, or with `undefined` of all; resolves with what was removed, in words. */
export async function removeAllRules(
  networks: readonly string[] | undefined,
  options: NftOptions = {},
): Promise<readonly string[]> {
  const placed = await readForeignTables(options);
  const changes = planForwardRemoval(placed, networks);
  await changeForward(changes, options);
  // Numbers of legacy rules have changed.
  const leftovers = planLeftovers(changes.length > 0 ? await readForeignTables(options) : placed, networks);
  await removeLeftovers(leftovers, options);
  const accepts = changes.map(
    ({ rule }) => `the rule that accepts ${rule.side} ${rule.network} in ${rule.family} filter`,
  );
  return [...accepts, ...leftovers.names];
}
