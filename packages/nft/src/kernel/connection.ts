/**
 * The ruleset by netlink, without the program nft: for whoever must be quick or has no such program. Everything is synchronous, as
 * the kernel is: it has done a batch, or refused all of it, before the call returns.
 */

import { NETLINK_NETFILTER } from '@flannel-ts/linux/socket';
import { attributeString, parseAttributes, readBe32, readString } from '@flannel-ts/rtnetlink/attributes';
import { type Netlink, type NetlinkOptions, openNetlink } from '@flannel-ts/rtnetlink/connection';
import { isNetlinkError } from '@flannel-ts/rtnetlink/errors';
import type { NetlinkMessage } from '@flannel-ts/rtnetlink/message';
import { NftError } from '../errors.ts';
import type { Chain, SetElement, SetSpec } from '../ruleset.ts';
import { BATCH_END, batchBegin, type Command, encodeCommand, request, type TableName } from './commands.ts';
import * as k from './constants.ts';
import { decodeChain, decodeElements, decodeRule, type KernelRule } from './decode.ts';

const NFGENMSG_LENGTH = 4;
/** Every transaction of anybody in the namespace makes a new generation; one that is made for an old one is tried again. */
const TRIES = 50;

export interface KernelChain extends Omit<Chain, 'rules'> {
  readonly rules: readonly KernelRule[];
}

/** A connection to the ruleset of one namespace: the caller's own, or `netns`. Close it after use. */
export class NftConnection {
  private constructor(private readonly nl: Netlink) {}

  static open(options: Omit<NetlinkOptions, 'protocol'> = {}): NftConnection {
    return new NftConnection(openNetlink({ ...options, protocol: NETLINK_NETFILTER }));
  }

  /** All commands in one transaction, or none of them. Throws NFT_REFUSED with the first one that the kernel did not take. */
  apply(commands: readonly Command[]): void {
    const refused = this.#transact(commands, undefined);
    if (refused !== undefined) throw refused;
  }

  /**
   * Commands that depend on what `plan` has read: they are applied only if nobody has changed the ruleset meanwhile, otherwise
   * planned again. False if there was nothing to do.
   */
  change(plan: (nft: NftConnection) => readonly Command[]): boolean {
    for (let attempt = 0; attempt < TRIES; attempt++) {
      const generation = this.generation();
      const commands = plan(this);
      if (commands.length === 0) return false;
      const refused = this.#transact(commands, generation);
      if (refused === undefined) return true;
      if (refused.errno !== 'ERESTART') throw refused;
    }
    throw new NftError(
      'NFT_BUSY',
      `The nftables rules were changed by others ${TRIES} times in a row while we changed them`,
    );
  }

  /** The number of the ruleset in force. */
  generation(): number {
    const [reply] = this.nl.request(
      request(k.NFT_MSG_GETGEN, { family: 'inet' }, [], 'read the generation of the ruleset'),
    );
    return reply === undefined ? 0 : (readBe32(attributesOf(reply), k.NFTA_GEN_ID) ?? 0);
  }

  hasTable(table: TableName): boolean {
    const parts = [attributeString(k.NFTA_TABLE_NAME, table.name)];
    return this.#find(k.NFT_MSG_GETTABLE, table, parts, `find table ${table.family} ${table.name}`) !== undefined;
  }

  /** Undefined where there is no such set. */
  elements(table: TableName, set: SetSpec): readonly SetElement[] | undefined {
    const parts = [
      attributeString(k.NFTA_SET_ELEM_LIST_TABLE, table.name),
      attributeString(k.NFTA_SET_ELEM_LIST_SET, set.name),
    ];
    const operation = `list ${table.family} ${table.name} ${set.name}`;
    const messages = this.#dump(k.NFT_MSG_GETSETELEM, table, parts, operation);
    return messages?.flatMap((message) => decodeElements(attributesOf(message), set));
  }

  /** The element with this key; undefined where there is none, or no such set. */
  element(table: TableName, set: SetSpec, key: SetElement['key']): SetElement | undefined {
    const command = encodeCommand({ do: 'delete elements', table, set, keys: [key] });
    const operation = `find ${key.join(' . ')} in ${table.family} ${table.name} ${set.name}`;
    const reply = this.#find(k.NFT_MSG_GETSETELEM, table, command.parts.slice(1), operation);
    return reply && decodeElements(attributesOf(reply), set)[0];
  }

  /** The chains of a table with their rules; undefined where there is no such table. */
  chains(table: TableName): readonly KernelChain[] | undefined {
    if (!this.hasTable(table)) return undefined;
    const where = `${table.family} ${table.name}`;
    // The kernel's filter for chains does not know the table before Linux 6.2.
    const chains = this.#dump(k.NFT_MSG_GETCHAIN, table, [], `list the chains of ${where}`) ?? [];
    const ofTable = [attributeString(k.NFTA_RULE_TABLE, table.name)];
    const listed = this.#dump(k.NFT_MSG_GETRULE, table, ofTable, `list the rules of ${where}`) ?? [];
    const rules = listed.map((message) => decodeRule(attributesOf(message)));
    return chains
      .map(attributesOf)
      .filter((attributes) => readString(attributes, k.NFTA_CHAIN_TABLE) === table.name)
      .map((attributes) => {
        const chain = decodeChain(attributes);
        return { ...chain, rules: rules.filter((rule) => rule.chain === chain.name) };
      });
  }

  close(): void {
    this.nl.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #transact(commands: readonly Command[], generation: number | undefined): NftError | undefined {
    if (commands.length === 0) return undefined;
    const refusals = this.nl.transaction(batchBegin(generation), commands.map(encodeCommand), BATCH_END);
    const first = refusals[0]?.error;
    if (first === undefined) return undefined;
    return new NftError('NFT_REFUSED', `${first.message}; no rule was changed`, { cause: first }, first.code);
  }

  #find(type: number, table: TableName, parts: readonly Uint8Array[], operation: string): NetlinkMessage | undefined {
    try {
      return this.nl.request(request(type, table, parts, operation))[0];
    } catch (error) {
      if (isNetlinkError(error, 'ENOENT')) return undefined;
      throw error;
    }
  }

  #dump(type: number, table: TableName, parts: readonly Uint8Array[], operation: string): NetlinkMessage[] | undefined {
    try {
      return this.nl.dump(request(type, table, parts, operation));
    } catch (error) {
      if (isNetlinkError(error, 'ENOENT')) return undefined;
      throw error;
    }
  }
}

/** Opens a connection for the time of `use`. */
export function withNft<T>(use: (nft: NftConnection) => T, options: Omit<NetlinkOptions, 'protocol'> = {}): T {
  const nft = NftConnection.open(options);
  try {
    return use(nft);
  } finally {
    nft.close();
  }
}

function attributesOf(message: NetlinkMessage): ReadonlyMap<number, Uint8Array> {
  return parseAttributes(message.payload.subarray(NFGENMSG_LENGTH));
}
