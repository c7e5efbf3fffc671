/**
 * What has to be done that pods' packets are forwarded although other users of the firewall drop by default: Docker sets the
 * policy of iptables' FORWARD chain to DROP, ufw and firewalld reject what no rule of theirs accepts. An accept in a table of our
 * own cannot help, since every table's chains are asked. So flannel's two rules are put where flannel's own would stand, into
 * iptables' filter table, before what drops and after all other rules. Foreign tables are not touched, only reported.
 */
import { FAMILIES, type Family } from '@flannel-ts/inet/family';
import type { ListedChain, ListedRule, ListedTable } from '@flannel-ts/nft/listing';
import type { Rule } from '@flannel-ts/nft/ruleset';
import { type ChainVerdict, judgeChain, type Packet, surelyDroppingRule } from './judge.ts';
import { chainsOf, describePlace, iptablesProgram, type Place, type PlacedTables } from './place.ts';
import { FORWARD_COMMENT, NFT, type Overlay, type OverlayFamily } from './rules.ts';

export interface AcceptRule {
  readonly family: 'ip' | 'ip6';
  readonly side: 'saddr' | 'daddr';
  readonly network: string;
}

/** A change in the FORWARD chain of iptables' filter table. */
export type ForwardChange =
  | { readonly type: 'insert'; readonly place: Place; readonly rule: AcceptRule; readonly before?: number }
  | { readonly type: 'delete'; readonly place: Place; readonly rule: AcceptRule; readonly handle: number };

export interface ForwardPlan {
  readonly changes: readonly ForwardChange[];
  /** Packets are dropped for sure: one sentence each, with what to do. */
  readonly troubles: readonly string[];
  /** Packets are dropped unless rules accept them that cannot be judged here. */
  readonly doubts: readonly string[];
}

export interface ForwardQuestion {
  readonly overlay: Overlay;
  /** By which packets of the family reach other nodes' pods; undefined while it is not known. */
  readonly device: (family: Family) => string | undefined;
  /** May rules be put into iptables' filter table: -iptables-forward-rules, and not EnableNFTables. */
  readonly mayInsert: boolean;
}

export function planForward(placed: readonly PlacedTables[], question: ForwardQuestion): ForwardPlan {
  const changes: ForwardChange[] = [];
  const troubles: string[] = [];
  const doubts: string[] = [];
  for (const { place, tables } of placed) {
    for (const version of FAMILIES) {
      const addresses = question.overlay[version];
      if (addresses === undefined) continue;
      const { family } = NFT[version];
      for (const [table, chain] of chainsOf(tables, family, 'forward')) {
        const packets = packetsOf(family, addresses, question.device(version));
        if (question.mayInsert && isIptablesForward(table, chain)) {
          const others = chain.rules.filter((rule) => acceptOf(rule)?.network !== addresses.network);
          if (worstVerdict(table, { ...chain, rules: others }, packets) === undefined) continue;
          changes.push(...planAccepts(place, family, table, chain, addresses, packets));
          continue;
        }
        const worst = worstVerdict(table, chain, packets);
        if (worst?.verdict === 'drops') troubles.push(sentence(place, table, chain, worst.by!, addresses));
        else if (worst) doubts.push(sentence(place, table, chain, worst.by!, addresses));
      }
    }
  }
  return { changes, troubles, doubts };
}

/** What cleanup removes: our rules for these networks (undefined: for any), wherever they stand in the chain. */
export function planForwardRemoval(
  placed: readonly PlacedTables[],
  networks: readonly string[] | undefined,
): ForwardChange[] {
  return placed.flatMap(({ place, tables }) =>
    tables.flatMap((table) =>
      table.chains
        .filter((chain) => isIptablesForward(table, chain))
        .flatMap((chain) => chain.rules)
        .filter((rule) => rule.comment === FORWARD_COMMENT || (networks !== undefined && hasHiddenComment(rule)))
        .flatMap((found): ForwardChange[] => {
          const rule = acceptOf(found);
          if (rule === undefined || !(networks ?? [rule.network]).includes(rule.network)) return [];
          return [{ type: 'delete', place, rule, handle: found.handle }];
        }),
    ),
  );
}

/** As nft's commands of one transaction. */
export function renderForward(changes: readonly ForwardChange[]): string {
  return changes.map((change) => `${renderChange(change)}\n`).join('');
}

function renderChange(change: ForwardChange): string {
  const { family, side, network } = change.rule;
  const chain = `${family} filter FORWARD`;
  if (change.type === 'delete') return `delete rule ${chain} handle ${change.handle}`;
  // With a counter, iptables lists it as a rule of its own kind.
  const rule = `${family} ${side} ${network} counter accept comment "${FORWARD_COMMENT}"`;
  return change.before === undefined
    ? `add rule ${chain} ${rule}`
    : `insert rule ${chain} position ${change.before} ${rule}`;
}

/** For `iptables-restore --noflush`, of one family. */
export function renderLegacyForward(changes: readonly ForwardChange[]): string {
  const lines = changes.map((change) => {
    const { side, network } = change.rule;
    const rule = `-${side === 'saddr' ? 's' : 'd'} ${network} -m comment --comment "${FORWARD_COMMENT}" -j ACCEPT`;
    if (change.type === 'delete') return `-D FORWARD ${rule}`;
    return change.before === undefined ? `-A FORWARD ${rule}` : `-I FORWARD ${change.before} ${rule}`;
  });
  return `*filter\n${lines.join('\n')}\nCOMMIT\n`;
}

function isIptablesForward(table: ListedTable, chain: ListedChain): boolean {
  return (table.family === 'ip' || table.family === 'ip6') && table.name === 'filter' && chain.name === 'FORWARD';
}

/** Undefined where no packet is dropped. */
function worstVerdict(table: ListedTable, chain: ListedChain, packets: readonly Packet[]): ChainVerdict | undefined {
  const verdicts = packets.map((packet) => judgeChain(table, chain, packet)).filter(({ by }) => by !== undefined);
  return verdicts.find(({ verdict }) => verdict === 'drops') ?? verdicts[0];
}

/** From a pod of this node to another node's, and back. */
function packetsOf(family: 'ip' | 'ip6', { network, subnet }: OverlayFamily, device: string | undefined): Packet[] {
  return [
    { family, source: subnet, destination: network, ...(device !== undefined && { outInterface: device }) },
    { family, source: network, destination: subnet, ...(device !== undefined && { inInterface: device }) },
  ];
}

/** Both rules, before the first rule that drops for sure; those that are there already count if they come before it, too. */
function planAccepts(
  place: Place,
  family: 'ip' | 'ip6',
  table: ListedTable,
  chain: ListedChain,
  { network }: OverlayFamily,
  packets: readonly Packet[],
): ForwardChange[] {
  const drops = packets.map((packet) => surelyDroppingRule(table, chain, packet)).filter((at) => at !== undefined);
  const end = drops.length === 0 ? chain.rules.length : Math.min(...drops);
  const before = chain.rules[end]?.handle;
  const changes = acceptsOf(family, network).flatMap((rule): ForwardChange[] => {
    const places = chain.rules.flatMap((found, at) => (isAccept(found, rule) ? [at] : []));
    if (places.some((at) => at < end)) return [];
    const useless = places.filter((at) => chain.rules[at]!.comment === FORWARD_COMMENT);
    return [
      ...useless.map((at): ForwardChange => ({ type: 'delete', place, rule, handle: chain.rules[at]!.handle })),
      { type: 'insert', place, rule, ...(before !== undefined && { before }) },
    ];
  });
  // Numbers of the legacy tables shift with every deletion before them; what is deleted stands behind `before`.
  return [...changes.filter(({ type }) => type === 'delete'), ...changes.filter(({ type }) => type === 'insert')];
}

function acceptsOf(family: 'ip' | 'ip6', network: string): AcceptRule[] {
  return (['saddr', 'daddr'] as const).map((side) => ({ family, side, network }));
}

/** Whatever its comment: nftables' listing does not show it any more after iptables-save and iptables-restore. */
function isAccept(found: ListedRule, { family, side, network }: AcceptRule): boolean {
  const rule = acceptOf(found);
  return rule?.family === family && rule.side === side && rule.network === network;
}

/** Undefined for any other rule. */
function acceptOf(found: ListedRule): AcceptRule | undefined {
  const [match, verdict, ...rest] = meaningOf(found);
  if (match?.kind !== 'address' || match.not || verdict?.kind !== 'accept' || rest.length > 0) return undefined;
  return { family: match.family, side: match.side, network: match.prefix };
}

function meaningOf({ expressions }: Rule) {
  return expressions.filter((expression) => expression.kind !== 'counter' && !isComment(expression));
}

/** One that iptables-restore wrote: nftables lists that there is a comment, and not what it says. */
function hasHiddenComment({ expressions }: Rule): boolean {
  return expressions.some(isComment);
}

function isComment(expression: Rule['expressions'][number]): boolean {
  if (expression.kind !== 'other') return false;
  const json = expression.json as { readonly xt?: { readonly type?: unknown; readonly name?: unknown } } | null;
  return json?.xt?.type === 'match' && json.xt.name === 'comment';
}

function sentence(
  place: Place,
  table: ListedTable,
  chain: ListedChain,
  by: string,
  { network }: OverlayFamily,
): string {
  return `${describePlace(place, table, chain)} drops forwarded packets of pods (${by}): let it accept packets from and to ${network}${remedy(place, table, chain, network)}`;
}

function remedy(place: Place, table: ListedTable, chain: ListedChain, network: string): string {
  const { name } = table;
  const version = network.includes(':') ? 'ip6' : 'ip';
  if (name === 'firewalld')
    return `, with "firewall-cmd --permanent --zone=trusted --add-source=${network}" and --reload`;
  if (place === 'legacy' || chain.name === 'FORWARD') {
    return `, with "${iptablesProgram(place, version)} -I ${chain.name} -s ${network} -j ACCEPT" and the same for -d`;
  }
  const { family } = table;
  const rule = (side: string) => `insert rule ${family} ${name} ${chain.name} ${version} ${side} ${network} accept`;
  return `, with "nft '${rule('saddr')}; ${rule('daddr')}'"`;
}
