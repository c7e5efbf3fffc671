/**
 * What `iptables-save` prints, as the same values that nftables is read into. Only the legacy tables need it: those of
 * iptables-nft are in nftables' own listing.
 */
import type { ListedTable } from '@flannel-ts/nft/listing';
import type { Expression, Hook } from '@flannel-ts/nft/ruleset';

type Family = 'ip' | 'ip6';

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
  if (chain !== 'FORWARD' || table !== 'filter') return {};
  return { hook: { type: 'filter', hook: 'forward', priority: 0, policy: policy === 'DROP' ? 'drop' : 'accept' } };
}

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
      const right = value.toLowerCase().split(',');
      return [
        { kind: 'other', json: { match: { op: negation.not ? '!=' : '==', left: { ct: { key: 'state' } }, right } } },
      ];
    }
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
