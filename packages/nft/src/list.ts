import { type ListedTable, readChains, readListing } from './listing.ts';
import { refused, saysNotFound } from './outcome.ts';
import { type Table, tableName } from './ruleset.ts';
import { type NftOptions, runNft } from './run.ts';

/** The table as it is in the kernel, undefined when there is none. Equivalent to `nft -j list table FAMILY NAME`. */
export async function listTable(
  family: Table['family'],
  name: string,
  options: NftOptions = {},
): Promise<Table | undefined> {
  const command = `list table ${tableName({ family, name })}`;
  const outcome = await runNft(['-j', ...command.split(' ')], '', options);
  if (outcome.code === 0) {
    return readListing(outcome.stdout).find((table) => table.family === family && table.name === name);
  }
  if (saysNotFound(outcome)) return undefined;
  throw refused(outcome, `cannot ${command}`);
}

/** All chains of all tables, without their rules. Equivalent to `nft -j list chains`. */
export async function listChains(options: NftOptions = {}): Promise<readonly ListedTable[]> {
  const outcome = await runNft(['-j', 'list', 'chains'], '', options);
  if (outcome.code !== 0) throw refused(outcome, 'cannot list chains');
  return readChains(outcome.stdout);
}

/** Anybody's table with the handles of its rules; undefined when it is gone. */
export async function listForeignTable(
  family: string,
  name: string,
  options: NftOptions = {},
): Promise<ListedTable | undefined> {
  const outcome = await runNft(['-j', 'list', 'table', family, name], '', options);
  if (outcome.code === 0) return readChains(outcome.stdout)[0] ?? { family, name, chains: [] };
  if (saysNotFound(outcome)) return undefined;
  throw refused(outcome, `cannot list table ${family} ${name}`);
}
