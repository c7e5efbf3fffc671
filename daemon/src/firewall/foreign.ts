/** Reads the tables of others as far as they concern us, and changes what forward.ts and leftovers.ts planned. */
import { readFileSync } from 'node:fs';
import { applyRuleset } from '@flannel-ts/nft/apply';
import { listChains, listForeignTable } from '@flannel-ts/nft/list';
import type { ListedChain, ListedTable } from '@flannel-ts/nft/listing';
import type { NftOptions } from '@flannel-ts/nft/run';
import { type ForwardChange, renderForward, renderLegacyForward } from './forward.ts';
import { hasHiddenMatches, readIptablesSave, reveal } from './iptables.ts';
import { legacyRestore, legacySave, nftSave } from './iptables-run.ts';
import type { Leftovers } from './leftovers.ts';
import type { PlacedTables } from './place.ts';

/** Where packets are judged: those of pods, and those that nodes send to each other. */
const HOOKS: readonly (string | undefined)[] = ['forward', 'input', 'output'];
const FLANNEL_CHAINS = ['FLANNEL-POSTRTG', 'FLANNEL-FWD'];

/**
 * The tables with a chain on one of these hooks, and flannel's; of the legacy iptables, those that exist. `known` is an earlier
 * result since which nobody has changed nftables' ruleset; the legacy tables have no such number.
 */
export async function readForeignTables(
  options: NftOptions = {},
  known?: readonly PlacedTables[],
): Promise<readonly PlacedTables[]> {
  const nft = known?.find(({ place }) => place === 'nft') ?? { place: 'nft', tables: await readNftTables(options) };
  return [nft, { place: 'legacy', tables: await readLegacyTables(options) }];
}

async function readNftTables(options: NftOptions): Promise<readonly ListedTable[]> {
  const tables: ListedTable[] = [];
  for (const listed of await listChains(options)) {
    if (!concernsUs(listed)) continue;
    const table = await listForeignTable(listed.family, listed.name, options);
    if (table !== undefined) tables.push(await revealed(table, options));
  }
  return tables;
}

function concernsUs({ name, chains }: ListedTable): boolean {
  const concerns = ({ name, hook }: ListedChain) => HOOKS.includes(hook?.hook) || FLANNEL_CHAINS.includes(name);
  return name.startsWith('flannel-ipv') || chains.some(concerns);
}

/** Where nft shows only that there is a match of iptables, its own program says which one. */
async function revealed(table: ListedTable, { netns, signal }: NftOptions): Promise<ListedTable> {
  const { family, name } = table;
  if ((family !== 'ip' && family !== 'ip6') || netns !== undefined || !hasHiddenMatches(table)) return table;
  try {
    const [saved] = readIptablesSave(family, (await nftSave(family, name, signal)) ?? '');
    return saved === undefined ? table : reveal(table, saved);
  } catch {
    return table; // it holds rules that iptables cannot read, either
  }
}

/** The kernel names the tables that were ever used in this network namespace; without one, no program is run. */
async function readLegacyTables(options: NftOptions): Promise<ListedTable[]> {
  const tables: ListedTable[] = [];
  for (const family of ['ip', 'ip6'] as const) {
    for (const table of ['nat', 'filter']) {
      if (!legacyTables(family).includes(table)) continue;
      const text = await legacySave(family, table, options.signal);
      if (text !== undefined) tables.push(...readIptablesSave(family, text));
    }
  }
  return tables;
}

function legacyTables(family: 'ip' | 'ip6'): readonly string[] {
  try {
    return readFileSync(`/proc/thread-self/net/${family}_tables_names`, 'utf8').split('\n');
  } catch {
    return []; // the kernel has no such module
  }
}

/** One transaction for each kind of tables. */
export async function changeForward(changes: readonly ForwardChange[], options: NftOptions = {}): Promise<void> {
  const nft = changes.filter(({ place }) => place === 'nft');
  if (nft.length > 0) await applyRuleset(renderForward(nft), options);
  for (const family of ['ip', 'ip6'] as const) {
    const legacy = changes.filter(({ place, rule }) => place === 'legacy' && rule.family === family);
    if (legacy.length > 0) await legacyRestore(family, renderLegacyForward(legacy), options.signal);
  }
}

export async function removeLeftovers({ nft, legacy }: Leftovers, options: NftOptions = {}): Promise<void> {
  if (nft !== '') await applyRuleset(nft, options);
  for (const family of ['ip', 'ip6'] as const) {
    if (legacy[family] !== '') await legacyRestore(family, legacy[family], options.signal);
  }
}
