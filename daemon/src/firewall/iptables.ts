/**
 * What `iptables-save` prints, as the same values that nftables is read into. Only the legacy tables need it: those of
 * iptables-nft are in nftables' own listing.
 */
import type { ListedRule, ListedTable } from '@flannel-ts/nft/listing';
import type { Expression, Hook } from '@flannel-ts/nft/ruleset';

type Family = 'ip' | 'ip6';

/** Whether nft lists a match of iptables by its name alone, like conntrack. */
export function hasHiddenMatches({ chains }: ListedTable): boolean {
  return chains.some(({ rules }) => rules.some(isHidden));
}

function isHidden({ expressions }: ListedRule): boolean {
  return expressions.some((expression) => {
    if (expression.kind !== 'other') return false;
    const json = expression.json as { readonly xt?: { readonly type?: unknown; readonly name?: unknown } } | null;
    return json?.xt?.type === 'match' && json.xt.name !== 'comment';
  });
}

/** nft's listing with those rules as iptables-save has them, if both show the same rules. */
export function reveal(listed: ListedTable, saved: ListedTable): ListedTable {
  const chains = listed.chains.map((chain) => {
    const { rules } = saved.chains.find(({ name }) => name === chain.name) ?? {};
    if (rules?.length !== chain.rules.length) return chain;
    return {
      ...chain,
      rules: chain.rules.map((rule, i) => (isHidden(rule) ? { ...rules[i]!, handle: rule.handle } : rule)),
    };
  });
  return { ...listed, chains };
}

/** A rule's handle is its number in its chain, from 1, as `iptables -I CHAIN NUMBER` counts. */
export function readIptablesSave(family: Family, text: string): readonly ListedTable[] {
  const tables: { family: Family; name: string; chains: { name: string; hook?: Hook; rules: SavedRule[] }[] }[] = [];
  for (const line of text.split('\n')) {
    const table = tables.at(-1);
    if (line.startsWith('*')) tables.push({ family, name: line.slice(1).trim(), chains: [] });
    const chain = /^:(\S+) (\S+)/.exec(line);
    if (chain && table) table.chains.push({ name: chain[1]!, ...hookOf(table.name, chain[1]!, chain[2]!), rules: [] });
    const rule = /^-A (\S+) ?(.*)$/.exec(line);
    const owner = table?.chains.find(({ name }) => name === rule?.[1]);
    if (rule && owner) owner.rules.push({ handle: owner.rules.length + 1, ...readRule(family, wordsOf(rule[2]!)) });
  }
  return tables;
}

interface SavedRule {
  readonly handle: number;
  readonly expressions: readonly Expression[];
  readonly comment?: string;
}

function hookOf(table: string, chain: string, policy: string): { hook?: Hook } {
  const hook = table === 'filter' ? HOOKS[chain] : undefined;
  if (hook === undefined) return {};
  return { hook: { type: 'filter', hook, priority: 0, policy: policy === 'DROP' ? 'drop' : 'accept' } };
}

const HOOKS: Readonly<Record<string, Hook['hook']>> = { FORWARD: 'forward', INPUT: 'input', OUTPUT: 'output' };

const UNKNOWN: Expression = { kind: 'other', json: { xt: { type: 'match', name: 'unknown' } } };

function readRule(family: Family, words: readonly string[]): Omit<SavedRule, 'handle'> {
  const expressions: Expression[] = [];
  let comment: string | undefined;
  let not = false;
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    const negation = not ? ({ not: true } as const) : {};
    not = word === '!';
    if (not) continue;
    const value = words[i + 1] ?? '';
    const read = readOption(family, word, value, negation);
    if (word === '--comment') comment = value;
    if (read === 'unknown') expressions.push(UNKNOWN);
    else {
      i++;
      expressions.push(...read);
    }
  }
  // The target comes last, whatever stands before it in the text.
  return { expressions, ...(comment !== undefined && { comment }) };
}

/** The expressions of an option with a value; `unknown` for others, whose words are passed over one by one. */
function readOption(
  family: Family,
  word: string,
  value: string,
  negation: { readonly not?: true },
): readonly Expression[] | 'unknown' {
  switch (word) {
    case '-s':
    case '-d':
      return [
        { kind: 'address', family, side: word === '-s' ? 'saddr' : 'daddr', ...negation, prefix: fullLength(value) },
      ];
    case '-i':
    case '-o': {
      const side = word === '-i' ? 'iifname' : 'oifname';
      return [{ kind: 'interface', side, ...negation, name: value.replace(/\+$/, '*') }];
    }
    case '-m':
    case '--comment':
      return []; // a module without options of its own matches all
    case '--ctstate':
    case '--state': {
      return [matchOf({ ct: { key: 'state' } }, value.toLowerCase().split(','), negation)];
    }
    case '-p':
      return [matchOf({ meta: { key: 'l4proto' } }, value, negation)];
    case '--dport':
    case '--dports':
      return [matchOf({ payload: { protocol: 'th', field: 'dport' } }, portsOf(value), negation)];
    case '--dst-type':
      return value === 'LOCAL' && !negation.not ? [{ kind: 'local-destination' }] : [UNKNOWN];
    case '-j':
      return [target(value)];
    case '-g':
      return [{ kind: 'goto', target: value }];
    case '--reject-with':
      return [];
    default:
      return 'unknown';
  }
}

/** As nft writes it in JSON. */
function matchOf(left: object, right: unknown, { not }: { readonly not?: true }): Expression {
  return { kind: 'other', json: { match: { op: not ? '!=' : '==', left, right } } };
}

/** Like `53` or `53,8000:8100`. */
function portsOf(text: string): unknown {
  const ports = text.split(',').map((part) => {
    const [first, last] = part.split(':').map(Number);
    return last === undefined ? first : { range: [first, last] };
  });
  return ports.length === 1 ? ports[0] : { set: ports };
}

function target(name: string): Expression {
  if (name === 'ACCEPT') return { kind: 'accept' };
  if (name === 'DROP') return { kind: 'drop' };
  if (name === 'RETURN') return { kind: 'return' };
  if (name === 'REJECT') return { kind: 'other', json: { reject: null } };
  // LOG and the like name no chain, and so lead nowhere.
  return { kind: 'jump', target: name };
}

/** nftables leaves a full length out. */
function fullLength(prefix: string): string {
  return prefix.replace(prefix.includes(':') ? /\/128$/ : /\/32$/, '');
}

/** Words with double quotes and backslashes as iptables-save writes them. */
function wordsOf(text: string): string[] {
  const words = text.match(/"(?:\\.|[^"\\])*"|\S+/g) ?? [];
  return words.map((word) => (word.startsWith('"') ? word.slice(1, -1).replace(/\\(.)/g, '$1') : word));
}
