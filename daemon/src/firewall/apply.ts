/** Brings our own tables into the kernel, and removes them. Other tables are the business of forward.ts and leftovers.ts. */
import { deleteTable, ensureTables } from '@flannel-ts/nft/apply';
import { listTable } from '@flannel-ts/nft/list';
import type { NftOptions } from '@flannel-ts/nft/run';
import { desiredTables, networksOf, type Overlay, ownTable, type WantedRules } from './rules.ts';

/**
 * Makes the rules of these networks as desired, and only those; true when something was changed. `previous` are networks that
 * this node had before; what is left of them goes.
 */
export async function ensureRules(
  overlay: Overlay,
  wanted: WantedRules,
  options: NftOptions & { readonly previous?: readonly string[] } = {},
): Promise<boolean> {
  const tables = desiredTables(overlay, wanted);
  let changed = (await ensureTables(tables, options)) > 0;
  for (const { family, name } of [...networksOf(overlay), ...(options.previous ?? [])].map(ownTable)) {
    if (tables.some((table) => table.name === name)) continue;
    if ((await listTable(family, name, options)) === undefined) continue;
    await deleteTable(family, name, options);
    changed = true;
  }
  return changed;
}

/** Connections that are already translated go on. */
export async function removeRules(networks: readonly string[], options: NftOptions = {}): Promise<void> {
  for (const { family, name } of networks.map(ownTable)) await deleteTable(family, name, options);
}
