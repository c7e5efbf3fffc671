import { readListing } from './listing.ts';
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
