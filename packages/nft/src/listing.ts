/** From the JSON of `nft -j list table` (libnftables-json(5)) to values. */
import { NftError } from './errors.ts';
import type { Chain, Expression, Hook, MasqueradeFlag, Rule, Table, TableFamily } from './ruleset.ts';

type Json = Readonly<Record<string, unknown>>;

/** The tables of a listing, each with its chains in the kernel's order. */
export function readListing(text: string): readonly Table[] {
  const tables: { family: TableFamily; name: string; chains: { -readonly [K in keyof Chain]: Chain[K] }[] }[] = [];
  const tableOf = (item: Json, name: unknown) =>
    tables.find((table) => table.family === item.family && table.name === name);
  for (const entry of entries(text)) {
    const table = object(entry.table);
    if (table) tables.push({ family: table.family as TableFamily, name: String(table.name), chains: [] });
    const chain = object(entry.chain);
    if (chain) tableOf(chain, chain.table)?.chains.push({ name: String(chain.name), ...hookOf(chain), rules: [] });
    const rule = object(entry.rule);
    if (rule) {
      const owner = tableOf(rule, rule.table)?.chains.find((candidate) => candidate.name === rule.chain);
      if (owner) owner.rules = [...owner.rules, readRule(rule)];
    }
  }
  return tables;
}

/** A rule as it stands in somebody's table, with what names it in a command. */
export type ListedRule = Rule & { readonly handle: number };

export interface ListedChain {
  readonly name: string;
  readonly hook?: Hook;
  readonly rules: readonly ListedRule[];
}

/** Anybody's table: of any family, with names that this package would not write. */
export interface ListedTable {
  readonly family: string;
  readonly name: string;
  readonly chains: readonly ListedChain[];
}

/** The chains of a listing by their tables, with the handles of rules; also of `list chains`, which names no tables. */
export function readChains(text: string): readonly ListedTable[] {
  const tables: { family: string; name: string; chains: { name: string; hook?: Hook; rules: ListedRule[] }[] }[] = [];
  const tableOf = (item: Json) => {
    const [family, name] = [String(item.family), String(item.table)];
    const found = tables.find((table) => table.family === family && table.name === name);
    if (found !== undefined) return found;
    const made = { family, name, chains: [] };
    tables.push(made);
    return made;
  };
  for (const entry of entries(text)) {
    const chain = object(entry.chain);
    if (chain) tableOf(chain).chains.push({ name: String(chain.name), ...hookOf(chain), rules: [] });
    const rule = object(entry.rule);
    if (rule === undefined) continue;
    const owner = tableOf(rule).chains.find(({ name }) => name === rule.chain);
    owner?.rules.push({ ...readRule(rule), handle: Number(rule.handle) });
  }
  return tables;
}

function entries(text: string): readonly Json[] {
  try {
    const items = object(JSON.parse(text))?.nftables;
    if (Array.isArray(items)) return items.map(object).filter((item) => item !== undefined);
  } catch (cause) {
    throw new NftError('UNREADABLE_LISTING', `nft -j list printed no JSON but ${shorten(text)}`, { cause });
  }
  throw new NftError('UNREADABLE_LISTING', `nft -j list printed no list of objects but ${shorten(text)}`);
}

function hookOf(chain: Json): { hook?: Hook } {
  if (chain.hook === undefined) return {};
  const { type, hook, prio, policy } = chain;
  return { hook: { type, hook, priority: prio, policy: policy ?? 'accept' } as Hook };
}

function readRule(rule: Json): Rule {
  const expressions = Array.isArray(rule.expr) ? rule.expr.map(readExpression) : [];
  return typeof rule.comment === 'string' ? { expressions, comment: rule.comment } : { expressions };
}

function readExpression(json: unknown): Expression {
  const other: Expression = { kind: 'other', json };
  const [kind, value, ...more] = Object.entries(object(json) ?? {}).flat();
  if (typeof kind !== 'string' || more.length > 0) return other;
  const fields = object(value);
  switch (kind) {
    case 'match':
      return (fields && readMatch(fields)) ?? other;
    case 'accept':
    case 'drop':
    case 'return':
      return { kind };
    // Its counts are not part of the rule.
    case 'counter':
      return { kind };
    case 'jump':
    case 'goto':
      return typeof fields?.target === 'string' ? { kind, target: fields.target } : other;
    case 'masquerade':
      return readMasquerade(value) ?? other;
    case 'dnat':
      return (fields && readDnat(fields)) ?? other;
    case 'mangle':
      return (fields && readMangle(fields)) ?? other;
    default:
      return other;
  }
}

function readMatch({ op, left, right }: Json): Expression | undefined {
  if (op !== '==' && op !== '!=') return undefined;
  const negated = op === '!=' ? { not: true } : {};
  const fields = object(left);
  const payload = object(fields?.payload);
  if (payload) return readPayload(payload, negated, right);
  const meta = object(fields?.meta)?.key;
  if (meta === 'mark' && typeof right === 'number') return { kind: 'mark', ...negated, value: right };
  if (meta === 'nfproto' && op === '==' && (right === 'ipv4' || right === 'ipv6')) {
    return { kind: 'nfproto', family: right === 'ipv4' ? 'ip' : 'ip6' };
  }
  if ((meta === 'iifname' || meta === 'oifname') && typeof right === 'string') {
    return { kind: 'interface', side: meta, ...negated, name: right };
  }
  const masked = fields?.['&'];
  if (Array.isArray(masked) && isMark(masked[0]) && typeof masked[1] === 'number' && typeof right === 'number') {
    return { kind: 'mark', ...negated, value: right, mask: masked[1] };
  }
  const fib = object(fields?.fib);
  if (fib?.result === 'type' && String(fib.flags) === 'daddr' && right === 'local' && op === '==') {
    return { kind: 'local-destination' };
  }
  return undefined;
}

function readPayload({ protocol, field }: Json, negated: { not?: boolean }, right: unknown): Expression | undefined {
  if ((protocol === 'ip' || protocol === 'ip6') && (field === 'saddr' || field === 'daddr')) {
    const prefix = readPrefix(right);
    return prefix === undefined ? undefined : { kind: 'address', family: protocol, side: field, ...negated, prefix };
  }
  const isTransport = protocol === 'tcp' || protocol === 'udp' || protocol === 'sctp';
  if (isTransport && (field === 'sport' || field === 'dport') && typeof right === 'number' && !negated.not) {
    return { kind: 'port', protocol, side: field, port: right };
  }
  return undefined;
}

function readPrefix(right: unknown): string | undefined {
  if (typeof right === 'string') return right;
  const prefix = object(object(right)?.prefix);
  return prefix ? `${prefix.addr}/${prefix.len}` : undefined;
}

function readMasquerade(value: unknown): Expression | undefined {
  if (value === null) return { kind: 'masquerade', flags: [] };
  const { flags, ...rest } = object(value) ?? { rest: true };
  if (flags === undefined || Object.keys(rest).length > 0) return undefined;
  return { kind: 'masquerade', flags: (Array.isArray(flags) ? flags : [flags]) as MasqueradeFlag[] };
}

function readDnat({ family, addr, port, ...rest }: Json): Expression | undefined {
  if ((family !== 'ip' && family !== 'ip6') || typeof addr !== 'string' || Object.keys(rest).length > 0)
    return undefined;
  return { kind: 'dnat', family, address: addr, ...(typeof port === 'number' && { port }) };
}

function readMangle({ key, value }: Json): Expression | undefined {
  const operands = object(value)?.['|'];
  if (!isMark(key) || !Array.isArray(operands) || !isMark(operands[0]) || typeof operands[1] !== 'number')
    return undefined;
  return { kind: 'set-mark', bits: operands[1] };
}

function isMark(value: unknown): boolean {
  return object(object(value)?.meta)?.key === 'mark';
}

function object(value: unknown): Json | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : undefined;
}

function shorten(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 77)}...` : text);
}
