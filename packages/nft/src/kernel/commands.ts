/** What a batch may hold, as values, and the messages that say it: pure. */
import { attribute, attributeBe32, attributeNested, attributeString } from '@flannel-ts/rtnetlink/attributes';
import type { NetlinkRequest } from '@flannel-ts/rtnetlink/connection';
import { NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL } from '@flannel-ts/rtnetlink/message';
import {
  type Chain,
  type Fields,
  type Hook,
  identifier,
  type Rule,
  type SetElement,
  type SetSpec,
  type TableFamily,
} from '../ruleset.ts';
import * as k from './constants.ts';
import { encodeElement, encodeRule, encodeSet, FAMILIES } from './encode.ts';

export interface TableName {
  readonly family: TableFamily;
  readonly name: string;
}

/** Adding what is there already is fine, unless it differs; of deletions, see each. */
export type Command =
  | { readonly do: 'add table'; readonly table: TableName }
  /** ENOENT where there is none. */
  | { readonly do: 'delete table'; readonly table: TableName }
  | { readonly do: 'add set'; readonly table: TableName; readonly set: SetSpec }
  | { readonly do: 'add chain'; readonly table: TableName; readonly chain: Pick<Chain, 'name' | 'hook'> }
  | { readonly do: 'flush chain' | 'delete chain'; readonly table: TableName; readonly chain: string }
  | { readonly do: 'add rule'; readonly table: TableName; readonly chain: string; readonly rule: Rule }
  | { readonly do: 'delete rule'; readonly table: TableName; readonly chain: string; readonly handle: bigint }
  /** EEXIST where a map has another value for the key, and with `isNew` where the key is there at all. */
  | {
      readonly do: 'add elements';
      readonly table: TableName;
      readonly set: SetSpec;
      readonly elements: readonly SetElement[];
      readonly isNew?: boolean;
    }
  /** ENOENT where one of them is not in the set. */
  | {
      readonly do: 'delete elements';
      readonly table: TableName;
      readonly set: SetSpec;
      readonly keys: readonly Fields[];
    };

const message = (type: number): number => (k.NFNL_SUBSYS_NFTABLES << 8) | type;

/** `struct nfgenmsg { u8 family; u8 version; be16 resource; }` */
export function header(family: number, resource = 0): Uint8Array {
  return Uint8Array.of(family, 0, resource >>> 8, resource);
}

export function request(
  type: number,
  { family }: Pick<TableName, 'family'>,
  parts: readonly Uint8Array[],
  operation: string,
  flags = 0,
): NetlinkRequest {
  return { type: message(type), flags, parts: [header(FAMILIES[family]), ...parts], operation };
}

/** @param generation of the ruleset that the commands were made for; any one if absent */
export function batchBegin(generation: number | undefined): NetlinkRequest {
  const condition = generation === undefined ? [] : [attributeBe32(k.NFNL_BATCH_GENID, generation)];
  return {
    type: k.NFNL_MSG_BATCH_BEGIN,
    parts: [header(0, k.NFNL_SUBSYS_NFTABLES), ...condition],
    operation: 'change the ruleset',
  };
}

export const BATCH_END: NetlinkRequest = {
  type: k.NFNL_MSG_BATCH_END,
  parts: [header(0, k.NFNL_SUBSYS_NFTABLES)],
  operation: 'change the ruleset',
};

export function encodeCommand(command: Command): NetlinkRequest {
  const { table } = command;
  const where = `${table.family} ${identifier(table.name)}`;
  const of = (type: number) => attributeString(type, table.name);
  switch (command.do) {
    case 'add table':
      return request(k.NFT_MSG_NEWTABLE, table, [of(k.NFTA_TABLE_NAME)], `add table ${where}`, NLM_F_CREATE);
    case 'delete table':
      return request(k.NFT_MSG_DELTABLE, table, [of(k.NFTA_TABLE_NAME)], `delete table ${where}`);
    case 'add set': {
      const parts = [of(k.NFTA_SET_TABLE), ...encodeSet(command.set)];
      return request(k.NFT_MSG_NEWSET, table, parts, `add set ${where} ${command.set.name}`, NLM_F_CREATE);
    }
    case 'add chain':
      return addChain(table, command.chain, `add chain ${where} ${command.chain.name}`);
    case 'flush chain': {
      const parts = [of(k.NFTA_RULE_TABLE), attributeString(k.NFTA_RULE_CHAIN, identifier(command.chain))];
      return request(k.NFT_MSG_DELRULE, table, parts, `flush chain ${where} ${command.chain}`);
    }
    case 'delete chain': {
      const parts = [of(k.NFTA_CHAIN_TABLE), attributeString(k.NFTA_CHAIN_NAME, identifier(command.chain))];
      return request(k.NFT_MSG_DELCHAIN, table, parts, `delete chain ${where} ${command.chain}`);
    }
    case 'add rule': {
      const place = [of(k.NFTA_RULE_TABLE), attributeString(k.NFTA_RULE_CHAIN, identifier(command.chain))];
      const parts = [...place, ...encodeRule(command.rule, table.family)];
      const flags = NLM_F_CREATE | NLM_F_APPEND;
      return request(k.NFT_MSG_NEWRULE, table, parts, `add a rule to chain ${where} ${command.chain}`, flags);
    }
    case 'delete rule': {
      const parts = [
        of(k.NFTA_RULE_TABLE),
        attributeString(k.NFTA_RULE_CHAIN, identifier(command.chain)),
        attribute(k.NFTA_RULE_HANDLE, be64(command.handle)),
      ];
      return request(
        k.NFT_MSG_DELRULE,
        table,
        parts,
        `delete rule ${command.handle} of chain ${where} ${command.chain}`,
      );
    }
    case 'add elements': {
      const keys = command.elements.map(({ key }) => key.join(' . ')).join(', ');
      const operation = `add ${keys} to ${where} ${command.set.name}`;
      const flags = NLM_F_CREATE | (command.isNew ? NLM_F_EXCL : 0);
      return request(k.NFT_MSG_NEWSETELEM, table, elementParts(command), operation, flags);
    }
    case 'delete elements': {
      const keys = command.keys.map((key) => key.join(' . ')).join(', ');
      const operation = `delete ${keys} from ${where} ${command.set.name}`;
      const parts = elementParts({ ...command, elements: command.keys.map((key) => ({ key })) });
      return request(k.NFT_MSG_DELSETELEM, table, parts, operation);
    }
  }
}

function addChain(table: TableName, { name, hook }: Pick<Chain, 'name' | 'hook'>, operation: string): NetlinkRequest {
  const parts = [
    attributeString(k.NFTA_CHAIN_TABLE, table.name),
    attributeString(k.NFTA_CHAIN_NAME, identifier(name)),
    ...(hook === undefined ? [] : encodeHook(hook)),
  ];
  return request(k.NFT_MSG_NEWCHAIN, table, parts, operation, NLM_F_CREATE);
}

function encodeHook({ type, hook, priority, policy }: Hook): Uint8Array[] {
  return [
    attributeNested(k.NFTA_CHAIN_HOOK, [
      attributeBe32(k.NFTA_HOOK_HOOKNUM, k.NF_INET_HOOKS.indexOf(hook)),
      attributeBe32(k.NFTA_HOOK_PRIORITY, priority),
    ]),
    attributeBe32(k.NFTA_CHAIN_POLICY, policy === 'drop' ? k.NF_DROP : k.NF_ACCEPT),
    attributeString(k.NFTA_CHAIN_TYPE, type),
  ];
}

function elementParts({
  table,
  set,
  elements,
}: {
  readonly table: TableName;
  readonly set: SetSpec;
  readonly elements: readonly SetElement[];
}): Uint8Array[] {
  const list = elements.map((element) => encodeElement(element, set));
  return [
    attributeString(k.NFTA_SET_ELEM_LIST_TABLE, table.name),
    attributeString(k.NFTA_SET_ELEM_LIST_SET, identifier(set.name)),
    attributeNested(k.NFTA_SET_ELEM_LIST_ELEMENTS, list),
  ];
}

function be64(value: bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value);
  return bytes;
}
