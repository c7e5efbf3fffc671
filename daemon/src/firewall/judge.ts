/**
 * Whether somebody's rules drop what pods send to each other through this node, or what other nodes send to it. Rules are followed
 * as the kernel would follow them for one packet, with three answers for a match: yes, no, and maybe, for what cannot be known here
 * (a port, a set, an interface of pods). What is dropped only maybe is a policy of the operator's and no trouble.
 */
import type { Carrier } from '@flannel-ts/flannel/backend-needs';
import type { ListedChain, ListedTable } from '@flannel-ts/nft/listing';
import type { Expression } from '@flannel-ts/nft/ruleset';
import { type Answer, answerOf, opposite, record } from './answer.ts';
import { containsPrefix, disjointPrefixes } from './prefix-text.ts';
import { matchesTransport } from './transport.ts';

/** A packet of which not all is known: an interface that is absent may be any. */
export interface Packet {
  readonly family: 'ip' | 'ip6';
  /** Prefixes: all addresses in them are meant. */
  readonly source: string;
  readonly destination: string;
  readonly inInterface?: string;
  readonly outInterface?: string;
  /** Of one that is delivered to this host; a forwarded packet of pods may be of any protocol. */
  readonly carrier?: Carrier;
  /** Of its connection; default: it is the first packet. */
  readonly state?: 'new' | 'established';
}

/** What becomes of a packet in a chain; several may be possible. */
export interface Fate {
  readonly accepted: boolean;
  /** What drops it for sure, unless it is accepted before. */
  readonly droppedBy?: string;
  /** It may reach the end, or a return. */
  readonly passes: boolean;
}

export type Verdict = 'passes' | 'drops' | 'may-drop';

export interface ChainVerdict {
  readonly verdict: Verdict;
  /** For a person: `policy drop`, or `reject in chain X`. */
  readonly by?: string;
}

const MAX_DEPTH = 16;

/** `chain` is a base chain of the packet's hook. */
export function judgeChain(table: ListedTable, chain: ListedChain, packet: Packet): ChainVerdict {
  const fate = followChain(table, chain, packet, 0);
  const policyDrops = chain.hook?.policy === 'drop';
  const by = fate.droppedBy ?? (fate.passes && policyDrops ? 'policy drop' : undefined);
  if (by === undefined) return { verdict: 'passes' };
  const survives = fate.accepted || (fate.passes && !policyDrops);
  return { verdict: survives ? 'may-drop' : 'drops', by };
}

/** Index of the first rule of the chain that drops the packet whatever else holds; undefined when none does. */
export function surelyDroppingRule(table: ListedTable, chain: ListedChain, packet: Packet): number | undefined {
  const index = chain.rules.findIndex((_, at) => {
    const alone = { ...chain, rules: chain.rules.slice(at, at + 1) };
    const fate = followChain(table, alone, packet, 0);
    return fate.droppedBy !== undefined && !fate.passes;
  });
  return index < 0 ? undefined : index;
}

function followChain(table: ListedTable, chain: ListedChain, packet: Packet, depth: number): Fate {
  let accepted = false;
  let droppedBy: string | undefined;
  let returns = false;
  const fate = (passes: boolean): Fate => ({
    accepted,
    ...(droppedBy !== undefined && { droppedBy }),
    passes: passes || returns,
  });
  for (const { expressions } of chain.rules) {
    const matches = matchesAll(expressions, packet);
    if (matches === 'no') continue;
    const sure = matches === 'yes';
    for (const action of actionsOf(expressions)) {
      if (action.kind === 'accept') {
        accepted = true;
        if (sure) return fate(false);
      } else if (action.kind === 'drop') {
        if (!sure) continue;
        droppedBy ??= `${action.word} in chain ${chain.name}`;
        return fate(false);
      } else if (action.kind === 'return') {
        if (sure) return fate(true);
        returns = true;
      } else {
        const target = table.chains.find(({ name }) => name === action.target);
        if (target === undefined || depth >= MAX_DEPTH) continue;
        const inner = followChain(table, target, packet, depth + 1);
        accepted ||= inner.accepted;
        const certain = sure && !action.oneOfSeveral;
        if (certain) droppedBy ??= inner.droppedBy;
        if (action.kind === 'goto') returns ||= inner.passes;
        if (certain && (action.kind === 'goto' || !inner.passes)) return fate(false);
      }
    }
  }
  return fate(true);
}

type Action =
  | { readonly kind: 'accept' }
  | { readonly kind: 'return' }
  | { readonly kind: 'drop'; readonly word: string }
  | { readonly kind: 'jump' | 'goto'; readonly target: string; readonly oneOfSeveral?: true };

function actionsOf(expressions: readonly Expression[]): readonly Action[] {
  return expressions.flatMap((expression): readonly Action[] => {
    switch (expression.kind) {
      case 'accept':
      case 'return':
        return [{ kind: expression.kind }];
      case 'drop':
        return [{ kind: 'drop', word: 'drop' }];
      case 'jump':
      case 'goto':
        return [{ kind: expression.kind, target: expression.target }];
      case 'other':
        return otherActions(expression.json);
      default:
        return [];
    }
  });
}

/** reject, targets of iptables that have no words in nftables, verdict maps. */
function otherActions(json: unknown): readonly Action[] {
  const fields = record(json);
  if ('reject' in fields) return [{ kind: 'drop', word: 'reject' }];
  const target = record(fields.xt);
  if (target.type === 'target' && (target.name === 'REJECT' || target.name === 'DROP')) {
    return [{ kind: 'drop', word: String(target.name) }];
  }
  const data = record(record(fields.vmap).data).set;
  if (!Array.isArray(data)) return 'vmap' in fields || 'queue' in fields ? [{ kind: 'accept' }] : [];
  return data.flatMap((element): readonly Action[] => {
    const verdict = record(Array.isArray(element) ? element[1] : undefined);
    const jump = record(verdict.jump ?? verdict.goto).target;
    if (typeof jump === 'string') {
      return [{ kind: 'goto' in verdict ? 'goto' : 'jump', target: jump, oneOfSeveral: true }];
    }
    return 'accept' in verdict ? [{ kind: 'accept' }] : [];
  });
}

function matchesAll(expressions: readonly Expression[], packet: Packet): Answer {
  const answers = expressions.map((expression) => matchesOne(expression, packet));
  if (answers.includes('no')) return 'no';
  return answers.includes('maybe') ? 'maybe' : 'yes';
}

function matchesOne(expression: Expression, packet: Packet): Answer {
  switch (expression.kind) {
    case 'address': {
      if (expression.family !== packet.family) return expression.not ? 'yes' : 'no';
      const answer = inPrefix(expression.side === 'saddr' ? packet.source : packet.destination, expression.prefix);
      return expression.not ? opposite(answer) : answer;
    }
    case 'interface': {
      const name = expression.side === 'iifname' ? packet.inInterface : packet.outInterface;
      const answer = name === undefined ? anyInterface(expression.name) : sameInterface(name, expression.name);
      return expression.not ? opposite(answer) : answer;
    }
    case 'mark':
      return 'maybe';
    case 'port':
      return matchesTransport(
        { left: { payload: { protocol: expression.protocol, field: expression.side } }, right: expression.port },
        packet.carrier,
      );
    case 'local-destination':
      return answerOf(packet.carrier !== undefined);
    case 'other':
      return matchesOther(expression.json, packet);
    default:
      return 'yes';
  }
}

/** The connection's state is known, the protocol may be, and a comment matches all; of the rest nothing is known. */
function matchesOther(json: unknown, { carrier, state = 'new' }: Packet): Answer {
  const fields = record(json);
  const match = record(fields.match);
  const { key } = record(record(match.left).ct);
  const names = namesOf(match.right);
  // Nobody translates the destination of what nodes and pods send to each other by their own addresses.
  const connection = key === 'state' ? state : key === 'status' && names?.join() === 'dnat' ? '' : undefined;
  if (connection !== undefined) {
    if (names === undefined) return 'maybe';
    const has = answerOf(names.includes(connection));
    return match.op === '!=' ? opposite(has) : has;
  }
  const transport = matchesTransport(match, carrier);
  if (transport !== 'maybe') return transport;
  if ('match' in fields || 'limit' in fields || 'vmap' in fields || 'queue' in fields) return 'maybe';
  const extension = record(fields.xt);
  return extension.type === 'match' && extension.name !== 'comment' ? 'maybe' : 'yes';
}

function namesOf(right: unknown): readonly unknown[] | undefined {
  if (typeof right === 'string') return [right];
  const list = Array.isArray(right) ? right : record(right).set;
  return Array.isArray(list) ? list : undefined;
}

function inPrefix(inner: string, outer: string): Answer {
  if (containsPrefix(outer, inner)) return 'yes';
  return disjointPrefixes(outer, inner) ? 'no' : 'maybe';
}

function sameInterface(name: string, pattern: string): Answer {
  const same = pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern;
  return same ? 'yes' : 'no';
}

/** Pods hang on some bridge, and never on the loopback. */
function anyInterface(pattern: string): Answer {
  return pattern === 'lo' ? 'no' : 'maybe';
}
