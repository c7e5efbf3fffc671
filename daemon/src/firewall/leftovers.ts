/**
 * Rules that flannel, or an earlier flanneld of ours, left on this node: flannel's iptables chains in either kind of iptables,
 * and its nftables tables. They count as left over from a network when a rule names exactly that network; what another
 * flannel on this host uses for its own network is not touched. (flannel's own clean-up looks for FLANNEL-FWD in the wrong
 * table, and leaves the jump to FLANNEL-POSTRTG.)
 */
import type { ListedChain, ListedTable } from '@flannel-ts/nft/listing';
import { identifier } from '@flannel-ts/nft/ruleset';
import type { PlacedTables } from './place.ts';
import { NFT, ownTable } from './rules.ts';

export interface Leftovers {
  /** Commands for nft, of one transaction; empty without any. */
  readonly nft: string;
  /** Input for `iptables-restore --noflush`. */
  readonly legacy: { readonly ip: string; readonly ip6: string };
  /** For the log: "chain FLANNEL-FWD in ip filter". */
  readonly names: readonly string[];
}

/** flannel: trafficmngr/iptables/iptables.go. */
const CHAINS: Readonly<Record<string, { readonly chain: string; readonly from: string }>> = {
  nat: { chain: 'FLANNEL-POSTRTG', from: 'POSTROUTING' },
  filter: { chain: 'FLANNEL-FWD', from: 'FORWARD' },
};
const TABLES: ReadonlySet<string> = new Set(Object.values(NFT).map(({ table }) => table));

/** `networks` undefined: of all networks. */
export function planLeftovers(placed: readonly PlacedTables[], networks: readonly string[] | undefined): Leftovers {
  const nft: string[] = [];
  const legacy: Record<string, string[]> = { ip: [], ip6: [] };
  const names: string[] = [];
  for (const { place, tables } of placed) {
    for (const table of tables) {
      if (isFlannelTable(table, networks) && place === 'nft') {
        nft.push(`delete table ${table.family} ${identifier(table.name)}`);
        names.push(`table ${table.family} ${table.name}`);
        continue;
      }
      const { chain: name, from } = CHAINS[table.name] ?? {};
      const chain = table.chains.find((candidate) => candidate.name === name);
      if (chain === undefined || !(table.family in legacy) || !speaksOf([chain], networks)) continue;
      names.push(`chain ${chain.name} in ${place === 'legacy' ? 'legacy ' : ''}${table.family} ${table.name}`);
      const jumps = table.chains.find((candidate) => candidate.name === from);
      if (place === 'nft') nft.push(...chainCommands(table, chain, jumps));
      else legacy[table.family]!.push(...legacyCommands(table, chain, jumps));
    }
  }
  const text = (lines: readonly string[]) => lines.map((line) => `${line}\n`).join('');
  return { nft: text(nft), legacy: { ip: text(legacy.ip!), ip6: text(legacy.ip6!) }, names };
}

/** Real flannel's table, or ours of before it was named by its network. */
function isFlannelTable({ family, name, chains }: ListedTable, networks: readonly string[] | undefined): boolean {
  if (family !== 'ip' && family !== 'ip6') return false;
  if (TABLES.has(name)) return speaksOf(chains, networks);
  if (networks === undefined) return [...TABLES].some((table) => name.startsWith(`${table}-`));
  return networks.map(ownTable).some((own) => own.family === family && own.name === name);
}

/** An empty one is nobody's. */
function speaksOf(chains: readonly ListedChain[], networks: readonly string[] | undefined): boolean {
  const rules = chains.flatMap((chain) => chain.rules);
  if (networks === undefined || rules.length === 0) return true;
  return rules.some(({ expressions }) =>
    expressions.some((expression) => expression.kind === 'address' && networks.includes(expression.prefix)),
  );
}

function jumpsTo({ expressions }: ListedChain['rules'][number], name: string): boolean {
  return expressions.some((expression) => expression.kind === 'jump' && expression.target === name);
}

function chainCommands(table: ListedTable, { name }: ListedChain, from: ListedChain | undefined): string[] {
  const where = `${table.family} ${table.name}`;
  const jumps = (from?.rules ?? []).filter((rule) => jumpsTo(rule, name));
  return [
    ...jumps.map(({ handle }) => `delete rule ${where} ${from!.name} handle ${handle}`),
    `flush chain ${where} ${name}`,
    `delete chain ${where} ${name}`,
  ];
}

function legacyCommands(table: ListedTable, { name }: ListedChain, from: ListedChain | undefined): string[] {
  // By number, from the last, so that the others keep theirs.
  const jumps = (from?.rules ?? []).filter((rule) => jumpsTo(rule, name)).reverse();
  return [
    `*${table.name}`,
    ...jumps.map(({ handle }) => `-D ${from!.name} ${handle}`),
    `-F ${name}`,
    `-X ${name}`,
    'COMMIT',
  ];
}
