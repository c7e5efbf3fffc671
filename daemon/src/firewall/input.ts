/**
 * Whether rules of others drop on this node what other nodes send to it: a firewall that lets in only what it knows drops the
 * packets of the backend; or what it sends to them. Foreign tables are not changed, only reported.
 */
import { type Carrier, describeCarriers, IPIP_PROTOCOL } from '@flannel-ts/flannel/backend-needs';
import type { Family } from '@flannel-ts/inet/family';
import { formatIp, type Ip } from '@flannel-ts/inet/ip';
import type { ListedChain, ListedTable } from '@flannel-ts/nft/listing';
import { judgeChain, type Packet } from './judge.ts';
import { chainsOf, describePlace, iptablesProgram, type Place, type PlacedTables } from './place.ts';
import { NFT } from './rules.ts';

export interface InputQuestion {
  readonly carriers: readonly Carrier[];
  /** The interface to the other nodes, and its addresses. */
  readonly interface: string;
  readonly addresses: { readonly [F in Family]?: Ip };
}

export interface InputVerdict {
  /** What nodes send to each other is dropped for sure: one sentence each, with what to do. */
  readonly troubles: readonly string[];
  /** It is dropped except in answer to what this node has sent. */
  readonly doubts: readonly string[];
}

/** Nothing is presumed of the other nodes' addresses. */
const ANYWHERE: Readonly<Record<Family, string>> = { 4: '0.0.0.0/0', 6: '::/0' };

export function judgeInput(placed: readonly PlacedTables[], question: InputQuestion): InputVerdict {
  const troubles: string[] = [];
  const doubts: string[] = [];
  for (const carrier of question.carriers) {
    const address = question.addresses[carrier.outer];
    if (address === undefined) continue;
    const { family } = NFT[carrier.outer];
    const [own, others] = [formatIp(address), ANYWHERE[carrier.outer]];
    const arriving: Packet = { family, source: others, destination: own, inInterface: question.interface, carrier };
    const leaving: Packet = { family, source: own, destination: others, outInterface: question.interface, carrier };
    for (const { place, tables } of placed) {
      const say = (table: ListedTable, chain: ListedChain, packets: string, by: string | undefined): string =>
        `${describePlace(place, table, chain)} drops ${packets} (${describeCarriers([carrier])}; ${by}): ` +
        `let it accept them, ${remedy(place, table, chain, carrier)}`;
      for (const [table, chain] of chainsOf(tables, family, 'input')) {
        const { verdict, by } = judgeChain(table, chain, arriving);
        if (verdict !== 'drops') continue;
        const answersPass =
          carrier.symmetric && judgeChain(table, chain, { ...arriving, state: 'established' }).verdict !== 'drops';
        const packets = answersPass ? 'packets of other nodes that answer none of this node' : 'packets of other nodes';
        (answersPass ? doubts : troubles).push(say(table, chain, packets, by));
      }
      for (const [table, chain] of chainsOf(tables, family, 'output')) {
        const { verdict, by } = judgeChain(table, chain, leaving);
        if (verdict === 'drops') troubles.push(say(table, chain, 'packets to other nodes', by));
      }
    }
  }
  return { troubles, doubts };
}

/** The command of the firewall that the table belongs to. */
function remedy(place: Place, table: ListedTable, chain: ListedChain, carrier: Carrier): string {
  const { family, name } = table;
  const port = carrier.protocol === 'udp' ? carrier.port : undefined;
  if (name === 'firewalld') {
    const open = port === undefined ? `--add-protocol=${IPIP_PROTOCOL}` : `--add-port=${port}/udp`;
    return `with "firewall-cmd --permanent ${open}" and --reload`;
  }
  const isUfw = table.chains.some(({ name }) => name === 'ufw-user-input' || name === 'ufw6-user-input');
  const isOutput = chain.hook?.hook === 'output';
  if (isUfw && port !== undefined) return `with "ufw allow ${isOutput ? 'out ' : ''}${port}/udp"`;
  if (place === 'legacy' || chain.name === 'INPUT' || chain.name === 'OUTPUT') {
    const program = iptablesProgram(place, family === 'ip6' ? 'ip6' : 'ip');
    const match = port === undefined ? `-p ${IPIP_PROTOCOL}` : `-p udp --dport ${port}`;
    return `with "${program} -I ${chain.name} ${match} -j ACCEPT"`;
  }
  const match = port === undefined ? `ip protocol ${IPIP_PROTOCOL}` : `udp dport ${port}`;
  return `with "nft insert rule ${family} ${name} ${chain.name} ${match} accept"`;
}
