/** What nft has to do so that a table is as wanted: pure, so that it can be tested without a kernel. */
import { type Chain, identifier, renderHook, renderRule, type Table, tableName } from './ruleset.ts';

export interface PlanOptions {
  /** Chains that are not wanted stay; for two owners of one table. */
  readonly keepOtherChains?: boolean;
}

/** Whether the chains are the same to the packet: hook, rules and their order. Comments count, counts of packets do not. */
export function sameChain(a: Chain, b: Chain): boolean {
  const textA = chainText(a);
  return textA !== undefined && textA === chainText(b);
}

/** The commands of one transaction, or undefined when there is nothing to do. */
export function planTable(current: Table | undefined, wanted: Table, options: PlanOptions = {}): string | undefined {
  const existing = new Map(current?.chains.map((chain) => [chain.name, chain]));
  const changed = wanted.chains.filter((chain) => {
    const found = existing.get(chain.name);
    return found === undefined || !sameChain(found, chain);
  });
  const names = new Set(wanted.chains.map((chain) => chain.name));
  const surplus = options.keepOtherChains ? [] : [...existing.values()].filter((chain) => !names.has(chain.name));
  if (current !== undefined && changed.length === 0 && surplus.length === 0) return undefined;

  const table = tableName(wanted);
  const replaced = changed.map((chain) => existing.get(chain.name)).filter((chain) => chain !== undefined);
  // A base chain's hook cannot be changed, and a chain can only go when no rule jumps to it: flush all, then delete.
  const deleted = [
    ...surplus,
    ...replaced.filter((chain) => hookText(chain) !== hookText(wantedChain(wanted, chain.name))),
  ];
  const commands = [
    `add table ${table}`,
    ...[...surplus, ...replaced].map((chain) => `flush chain ${table} ${identifier(chain.name)}`),
    ...deleted.map((chain) => `delete chain ${table} ${identifier(chain.name)}`),
    ...changed.map((chain) => `add chain ${table} ${identifier(chain.name)}${hookBlock(chain)}`),
    ...changed.flatMap((chain) =>
      chain.rules.map((rule) => `add rule ${table} ${identifier(chain.name)} ${renderRule(rule)}`),
    ),
  ];
  return `${commands.join('\n')}\n`;
}

function wantedChain(table: Table, name: string): Chain | undefined {
  return table.chains.find((chain) => chain.name === name);
}

/** Undefined for a chain with something in it that we do not know. */
function chainText(chain: Chain): string | undefined {
  const known = chain.rules.every((rule) => rule.expressions.every((expression) => expression.kind !== 'other'));
  return known ? [hookText(chain), ...chain.rules.map(renderRule)].join('\n') : undefined;
}

function hookText(chain: Chain | undefined): string {
  return chain?.hook === undefined ? '' : renderHook(chain.hook);
}

function hookBlock(chain: Chain): string {
  return chain.hook === undefined ? '' : ` { ${renderHook(chain.hook)} }`;
}
