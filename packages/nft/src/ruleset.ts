/**
 * Rules as values, and their text. One value has one text: two rulesets are the same when their texts are. What nftables can
 * do besides is read back as an `other` expression, which has no text and so equals nothing we want.
 */
import { NftError } from './errors.ts';

export type TableFamily = 'ip' | 'ip6' | 'inet' | 'bridge';

export interface Table {
  readonly family: TableFamily;
  readonly name: string;
  /** Without their elements, which come and go by themselves. */
  readonly sets?: readonly SetSpec[];
  readonly chains: readonly Chain[];
}

/** What a key of a set or a value of a map consists of, by nft's words. */
export type FieldType = 'ipv4_addr' | 'ipv6_addr' | 'ether_addr' | 'inet_proto' | 'inet_service' | 'mark' | 'ifname';

/** A set, or with `data` a map. */
export interface SetSpec {
  readonly name: string;
  readonly key: readonly FieldType[];
  readonly data?: readonly FieldType[] | 'verdict';
}

/** Fields as text, in the order of the type: `['10.0.0.1', 'tcp', '80']`. */
export type Fields = readonly string[];

export type Verdict =
  | { readonly kind: 'accept' | 'drop' | 'return' }
  | { readonly kind: 'jump' | 'goto'; readonly target: string };

export interface SetElement {
  readonly key: Fields;
  readonly data?: Fields | Verdict;
  readonly comment?: string;
}

export interface Chain {
  readonly name: string;
  /** Absent for a chain that is only jumped to. */
  readonly hook?: Hook;
  readonly rules: readonly Rule[];
}

export interface Hook {
  readonly type: 'filter' | 'nat' | 'route';
  readonly hook: 'prerouting' | 'input' | 'forward' | 'output' | 'postrouting';
  readonly priority: number;
  readonly policy: 'accept' | 'drop';
}

/** linux/netfilter_ipv4.h; nft's names for them in the comments. */
export const PRIORITY_DSTNAT = -100; // dstnat
export const PRIORITY_FILTER = 0; // filter
export const PRIORITY_SRCNAT = 100; // srcnat

export interface Rule {
  readonly expressions: readonly Expression[];
  readonly comment?: string;
}

export type Match =
  | {
      readonly kind: 'address';
      readonly family: 'ip' | 'ip6';
      readonly side: 'saddr' | 'daddr';
      readonly not?: boolean;
      /** 10.0.0.0/8, or 10.0.0.1 without a length. */
      readonly prefix: string;
    }
  | { readonly kind: 'mark'; readonly not?: boolean; readonly value: number; readonly mask?: number }
  | {
      readonly kind: 'interface';
      readonly side: 'iifname' | 'oifname';
      readonly not?: boolean;
      /** May end in "*". */
      readonly name: string;
    }
  | {
      readonly kind: 'port';
      readonly protocol: 'tcp' | 'udp' | 'sctp';
      readonly side: 'sport' | 'dport';
      readonly port: number;
    }
  /** The packet is of this family; of use in a table of both. */
  | { readonly kind: 'nfproto'; readonly family: 'ip' | 'ip6' }
  /** The destination is an address of this host. */
  | { readonly kind: 'local-destination' }
  | { readonly kind: 'ether'; readonly side: 'saddr' | 'daddr'; readonly not?: boolean; readonly mac: string }
  /** The connection is in one of these states. */
  | { readonly kind: 'ct-state'; readonly states: readonly CtState[] }
  /** The connection had its destination or source changed. */
  | { readonly kind: 'ct-status'; readonly status: CtStatus }
  /** The fields are an element of the set. */
  | { readonly kind: 'lookup'; readonly keys: readonly Key[]; readonly not?: boolean; readonly set: string };

export type CtState = 'new' | 'established' | 'related' | 'invalid' | 'untracked';
export type CtStatus = 'dnat' | 'snat';

/** What of a packet is looked up in a set or map. */
export type Key =
  | `${'ip' | 'ip6' | 'ether'} ${'saddr' | 'daddr'}`
  | 'meta l4proto'
  | `th ${'sport' | 'dport'}`
  | 'iifname'
  | 'oifname';

export type MasqueradeFlag = 'random' | 'fully-random' | 'persistent';

export type Statement =
  | { readonly kind: 'counter' }
  /** Sets the bits. */
  | { readonly kind: 'set-mark'; readonly bits: number }
  | Verdict
  | { readonly kind: 'masquerade'; readonly flags: readonly MasqueradeFlag[] }
  | { readonly kind: 'dnat'; readonly family: 'ip' | 'ip6'; readonly address: string; readonly port?: number }
  /** To the address, and the port if the map has one, that the map holds for the fields; without effect if it holds none. */
  | { readonly kind: 'dnat-map'; readonly family: 'ip' | 'ip6'; readonly keys: readonly Key[]; readonly map: string }
  /** The verdict that the map holds for the fields; without effect if it holds none. */
  | { readonly kind: 'verdict-map'; readonly keys: readonly Key[]; readonly map: string };

/** Something read back that has no value here. */
export interface Other {
  readonly kind: 'other';
  readonly json: unknown;
}

export type Expression = Match | Statement | Other;

/** The table as nft reads it; throws INVALID_RULE for what cannot be written. */
export function renderTable(table: Table): string {
  const chains = table.chains.map((chain) => {
    const lines = [...(chain.hook ? [renderHook(chain.hook)] : []), ...chain.rules.map(renderRule)];
    return `\tchain ${identifier(chain.name)} {\n${lines.map((line) => `\t\t${line}\n`).join('')}\t}\n`;
  });
  const sets = (table.sets ?? []).map((set) => `\t${renderSet(set)}\n`);
  return `table ${tableName(table)} {\n${sets.join('')}${chains.join('')}}\n`;
}

/** `map NAME { type ipv4_addr : verdict; }` */
export function renderSet({ name, key, data }: SetSpec): string {
  const type = key.join(' . ');
  if (data === undefined) return `set ${identifier(name)} { type ${type}; }`;
  return `map ${identifier(name)} { type ${type} : ${data === 'verdict' ? data : data.join(' . ')}; }`;
}

export function renderHook(hook: Hook): string {
  return `type ${hook.type} hook ${hook.hook} priority ${integer(hook.priority)}; policy ${hook.policy};`;
}

export function renderRule(rule: Rule): string {
  const words = rule.expressions.map(renderExpression);
  if (rule.comment !== undefined) words.push(`comment ${quoted(rule.comment)}`);
  return words.join(' ');
}

/** `ip flannel-ipv4`, as it stands in every command. */
export function tableName(table: Pick<Table, 'family' | 'name'>): string {
  return `${table.family} ${identifier(table.name)}`;
}

/** nft's strings: a name that begins with a letter. Also what keeps a name from being a command. nft itself refuses its words (fwd). */
export function identifier(name: string): string {
  if (!/^[A-Za-z][A-Za-z0-9_./-]{0,127}$/.test(name)) {
    throw invalid(
      `Name ${JSON.stringify(name)} is not usable in nftables: begin with a letter, go on with letters, digits, _ . / -`,
    );
  }
  return name;
}

function renderExpression(expression: Expression): string {
  switch (expression.kind) {
    case 'address':
      return `${expression.family} ${expression.side} ${not(expression)}${address(expression.prefix)}`;
    case 'mark':
      return renderMark(expression);
    case 'interface':
      return `${expression.side} ${not(expression)}${interfaceName(expression.name)}`;
    case 'port':
      return `${expression.protocol} ${expression.side} ${integer(expression.port)}`;
    case 'local-destination':
      return 'fib daddr type local';
    case 'nfproto':
      return `meta nfproto ${expression.family === 'ip' ? 'ipv4' : 'ipv6'}`;
    case 'ether':
      return `ether ${expression.side} ${not(expression)}${hardwareAddress(expression.mac)}`;
    case 'ct-state':
      return `ct state ${expression.states.join(',')}`;
    case 'ct-status':
      return `ct status ${expression.status}`;
    case 'lookup':
      return `${expression.keys.join(' . ')} ${not(expression)}@${identifier(expression.set)}`;
    case 'verdict-map':
      return `${expression.keys.join(' . ')} vmap @${identifier(expression.map)}`;
    case 'dnat-map':
      return `dnat ${expression.family} to ${expression.keys.join(' . ')} map @${identifier(expression.map)}`;
    case 'counter':
      return 'counter';
    case 'set-mark':
      return `meta mark set meta mark | ${hex(expression.bits)}`;
    case 'accept':
    case 'drop':
    case 'return':
      return expression.kind;
    case 'jump':
    case 'goto':
      return `${expression.kind} ${identifier(expression.target)}`;
    case 'masquerade':
      return ['masquerade', ...(expression.flags.length > 0 ? [expression.flags.join(',')] : [])].join(' ');
    case 'dnat':
      return renderDnat(expression);
    case 'other':
      throw invalid(`Expression ${JSON.stringify(expression.json)} was read from nftables and cannot be written back`);
  }
}

function renderMark({ not: negated, value, mask }: Extract<Match, { kind: 'mark' }>): string {
  if (mask === undefined) return `meta mark ${negated ? '!= ' : ''}${hex(value)}`;
  return `meta mark & ${hex(mask)} ${negated ? '!=' : '=='} ${hex(value)}`;
}

function renderDnat({ family, address: target, port }: Extract<Statement, { kind: 'dnat' }>): string {
  const host = address(target);
  if (port === undefined) return `dnat ${family} to ${host}`;
  return `dnat ${family} to ${family === 'ip6' ? `[${host}]` : host}:${integer(port)}`;
}

function not(match: { readonly not?: boolean }): string {
  return match.not ? '!= ' : '';
}

/** A full length says nothing; nft leaves it out when it lists the rule. */
function address(text: string): string {
  const match = /^([0-9a-f.:]+)(\/\d{1,3})?$/i.exec(text);
  if (match === null)
    throw invalid(`Address ${JSON.stringify(text)} is not usable in nftables: write it like 10.0.0.0/8`);
  const full = text.includes(':') ? '/128' : '/32';
  return match[2] === full ? match[1]! : text;
}

function hardwareAddress(text: string): string {
  if (!/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(text))
    throw invalid(`MAC address ${JSON.stringify(text)} is not usable in nftables`);
  return text;
}

/** linux/if.h: IFNAMSIZ 16 with the final zero. */
function interfaceName(name: string): string {
  if (!/^[^\s/"\\*]{1,15}\*?$/.test(name))
    throw invalid(`Interface name ${JSON.stringify(name)} is not usable in nftables`);
  return `"${name}"`;
}

/** nft has no escapes inside quotes; 128 bytes is its limit for comments. */
function quoted(text: string): string {
  if (!/^[^"\\\n\r\0]{1,128}$/.test(text)) throw invalid(`Comment ${JSON.stringify(text)} is not usable in nftables`);
  return `"${text}"`;
}

function hex(value: number): string {
  return `0x${integer(value).toString(16).padStart(8, '0')}`;
}

function integer(value: number): number {
  if (!Number.isSafeInteger(value)) throw invalid(`Number ${value} is not usable in nftables`);
  return value;
}

function invalid(message: string): NftError {
  return new NftError('INVALID_RULE', message);
}
