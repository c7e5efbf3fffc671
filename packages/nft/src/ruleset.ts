/**
 * Rules as values, and their text. One value has one text: two rulesets are the same when their texts are. What nftables can
 * do besides is read back as an `other` expression, which has no text and so equals nothing we want.
 */
import { NftError } from './errors.ts';

export type TableFamily = 'ip' | 'ip6' | 'inet';

export interface Table {
  readonly family: TableFamily;
  readonly name: string;
  readonly chains: readonly Chain[];
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
  /** The destination is an address of this host. */
  | { readonly kind: 'local-destination' };

export type MasqueradeFlag = 'random' | 'fully-random' | 'persistent';

export type Statement =
  | { readonly kind: 'counter' }
  /** Sets the bits. */
  | { readonly kind: 'set-mark'; readonly bits: number }
  | { readonly kind: 'accept' | 'drop' | 'return' }
  | { readonly kind: 'jump' | 'goto'; readonly target: string }
  | { readonly kind: 'masquerade'; readonly flags: readonly MasqueradeFlag[] }
  | { readonly kind: 'dnat'; readonly family: 'ip' | 'ip6'; readonly address: string; readonly port?: number };

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
  return `table ${tableName(table)} {\n${chains.join('')}}\n`;
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
