import { listTable } from './list.ts';
import { refused } from './outcome.ts';
import { type PlanOptions, planTable } from './plan.ts';
import { type Table, tableName } from './ruleset.ts';
import { type NftOptions, runNft } from './run.ts';

/** Applies commands or a ruleset in one transaction: all of it or nothing. Equivalent to `nft -f - <<< text`. */
export async function applyRuleset(text: string, options: NftOptions = {}): Promise<void> {
  const outcome = await runNft(['-f', '-'], text, options);
  if (outcome.code !== 0) throw refused(outcome);
}

/** Reads the table and changes what differs, if anything does. True when something was changed. */
export async function ensureTable(wanted: Table, options: NftOptions & PlanOptions = {}): Promise<boolean> {
  return (await ensureTables([wanted], options)) > 0;
}

/** All tables in one transaction; the number of tables that were changed. */
export async function ensureTables(wanted: readonly Table[], options: NftOptions & PlanOptions = {}): Promise<number> {
  const plans: string[] = [];
  for (const table of wanted) {
    const plan = planTable(await listTable(table.family, table.name, options), table, options);
    if (plan !== undefined) plans.push(plan);
  }
  if (plans.length > 0) await applyRuleset(plans.join(''), options);
  return plans.length;
}

/** Equivalent to `nft delete table FAMILY NAME`, and fine when there is none. */
export async function deleteTable(family: Table['family'], name: string, options: NftOptions = {}): Promise<void> {
  const table = tableName({ family, name });
  // `destroy` would do in one command, from nft 1.0.7 on.
  await applyRuleset(`add table ${table}\ndelete table ${table}\n`, options);
}
