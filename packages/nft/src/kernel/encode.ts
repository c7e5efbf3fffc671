/** Rules, verdicts, sets and elements as the attributes of nf_tables: pure, bytes out. */
import { ipToBytes, parseIp } from '@flannel-ts/inet/ip';
import { macToBytes, parseMac } from '@flannel-ts/inet/mac';
import { parsePrefix } from '@flannel-ts/inet/prefix';
import {
  attribute,
  attributeBe32,
  attributeNested,
  attributeString,
  concatBytes,
} from '@flannel-ts/rtnetlink/attributes';
import { NftError } from '../errors.ts';
import {
  type Expression,
  type Fields,
  type FieldType,
  identifier,
  type Key,
  type Match,
  type Rule,
  renderRule,
  type SetElement,
  type SetSpec,
  type Statement,
  type TableFamily,
  type Verdict,
} from '../ruleset.ts';
import * as k from './constants.ts';

const encoder = new TextEncoder();

export const FAMILIES: Readonly<Record<TableFamily, number>> = {
  ip: k.NFPROTO_IPV4,
  ip6: k.NFPROTO_IPV6,
  inet: k.NFPROTO_INET,
  bridge: k.NFPROTO_BRIDGE,
};

export const PROTOCOLS: Readonly<Record<string, number>> = { tcp: 6, udp: 17, sctp: 132 };

/** NFTNL_UDATA_RULE_COMMENT and NFTNL_UDATA_SET_ELEM_COMMENT of libnftnl, both 0: a type, a length, and a string with its NUL. */
export function encodeComment(comment: string): Uint8Array {
  const text = encoder.encode(`${comment}\0`);
  return concatBytes([Uint8Array.of(0, text.length), text]);
}

export function encodeRule(rule: Rule, family: TableFamily): Uint8Array[] {
  renderRule(rule); // Refuses what no rule may hold: one judge for both ways of writing.
  const encoding = new RuleEncoder(family);
  for (const each of rule.expressions) encoding.add(each);
  const attributes = [attributeNested(k.NFTA_RULE_EXPRESSIONS, encoding.expressions)];
  if (rule.comment !== undefined) attributes.push(attribute(k.NFTA_RULE_USERDATA, encodeComment(rule.comment)));
  return attributes;
}

export function encodeSet(set: SetSpec): Uint8Array[] {
  const { name, key, data } = set;
  const attributes = [
    attributeString(k.NFTA_SET_NAME, identifier(name)),
    attributeBe32(k.NFTA_SET_FLAGS, data === undefined ? 0 : k.NFT_SET_MAP),
    attributeBe32(k.NFTA_SET_KEY_TYPE, typeNumber(key)),
    attributeBe32(k.NFTA_SET_KEY_LEN, fieldsLength(key)),
    // Only names a set within its batch; the kernel wants it.
    attributeBe32(k.NFTA_SET_ID, 1),
  ];
  if (data === 'verdict') {
    attributes.push(attributeBe32(k.NFTA_SET_DATA_TYPE, k.NFT_DATA_VERDICT), attributeBe32(k.NFTA_SET_DATA_LEN, 16));
  } else if (data !== undefined) {
    attributes.push(attributeBe32(k.NFTA_SET_DATA_TYPE, typeNumber(data)));
    attributes.push(attributeBe32(k.NFTA_SET_DATA_LEN, fieldsLength(data)));
  }
  return attributes;
}

export function encodeElement({ key, data, comment }: SetElement, set: SetSpec): Uint8Array {
  const parts = [attributeNested(k.NFTA_SET_ELEM_KEY, [attribute(k.NFTA_DATA_VALUE, encodeFields(key, set.key))])];
  if (data !== undefined) parts.push(attributeNested(k.NFTA_SET_ELEM_DATA, [encodeData(data, set)]));
  if (comment !== undefined) parts.push(attribute(k.NFTA_SET_ELEM_USERDATA, encodeComment(comment)));
  return attributeNested(k.NFTA_LIST_ELEM, parts);
}

function encodeData(data: Fields | Verdict, { name, data: type }: SetSpec): Uint8Array {
  if ('kind' in data) return encodeVerdict(data);
  if (type === undefined || type === 'verdict') throw invalid(`Map ${name} holds no fields but ${type ?? 'nothing'}`);
  return attribute(k.NFTA_DATA_VALUE, encodeFields(data, type));
}

/** Each field of a concatenation begins at a word. A single one has its own length. */
function encodeFields(fields: Fields, types: readonly FieldType[]): Uint8Array {
  if (fields.length !== types.length) throw invalid(`${fields.join(' . ')} is not of the type ${types.join(' . ')}`);
  const parts = types.map((type, at) => encodeField(fields[at]!, type));
  return parts.length === 1 ? parts[0]! : concatBytes(parts.map((part) => padded(part, words(part.length) * 4)));
}

function encodeField(text: string, type: FieldType): Uint8Array {
  switch (type) {
    case 'ipv4_addr':
      return ipToBytes(parseIp(text, 4));
    case 'ipv6_addr':
      return ipToBytes(parseIp(text, 6));
    case 'ether_addr':
      return macToBytes(parseMac(text));
    case 'inet_proto':
      return Uint8Array.of(PROTOCOLS[text] ?? integer(text, 0xff));
    case 'inet_service':
      return be16(integer(text, 0xffff));
    case 'mark':
      return host32(integer(text, 0xffffffff));
    case 'ifname':
      return padded(encoder.encode(text), k.FIELD_TYPES.ifname.length);
  }
}

function integer(text: string, maximum: number): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value > maximum) throw invalid(`${JSON.stringify(text)} is no number up to ${maximum}`);
  return value;
}

function words(bytes: number): number {
  return Math.ceil(bytes / 4);
}

function fieldsLength(types: readonly FieldType[]): number {
  if (types.length === 1) return k.FIELD_TYPES[types[0]!].length;
  return types.reduce((sum, type) => sum + 4 * words(k.FIELD_TYPES[type].length), 0);
}

/** TYPE_BITS of nft: six for each part of a concatenation. */
function typeNumber(types: readonly FieldType[]): number {
  return types.reduce((number, type) => number * 64 + k.FIELD_TYPES[type].number, 0);
}

export function encodeVerdict(verdict: Verdict): Uint8Array {
  const codes = { accept: k.NF_ACCEPT, drop: k.NF_DROP, return: k.NFT_RETURN, jump: k.NFT_JUMP, goto: k.NFT_GOTO };
  const parts = [attributeBe32(k.NFTA_VERDICT_CODE, codes[verdict.kind])];
  if ('target' in verdict) parts.push(attributeString(k.NFTA_VERDICT_CHAIN, identifier(verdict.target)));
  return attributeNested(k.NFTA_DATA_VERDICT, parts);
}

/** A field of a packet, and where it is. */
interface Place {
  readonly base: number;
  readonly offset: number;
  readonly length: number;
}

export const PLACES: Readonly<Record<string, Place>> = {
  'ip saddr': { base: k.NFT_PAYLOAD_NETWORK_HEADER, offset: 12, length: 4 },
  'ip daddr': { base: k.NFT_PAYLOAD_NETWORK_HEADER, offset: 16, length: 4 },
  'ip6 saddr': { base: k.NFT_PAYLOAD_NETWORK_HEADER, offset: 8, length: 16 },
  'ip6 daddr': { base: k.NFT_PAYLOAD_NETWORK_HEADER, offset: 24, length: 16 },
  'ether daddr': { base: k.NFT_PAYLOAD_LL_HEADER, offset: 0, length: 6 },
  'ether saddr': { base: k.NFT_PAYLOAD_LL_HEADER, offset: 6, length: 6 },
  'th sport': { base: k.NFT_PAYLOAD_TRANSPORT_HEADER, offset: 0, length: 2 },
  'th dport': { base: k.NFT_PAYLOAD_TRANSPORT_HEADER, offset: 2, length: 2 },
};

/** The expressions of one rule. What a field depends on (an IPv4 address on the packet being IPv4) is asked once, as nft does. */
class RuleEncoder {
  readonly expressions: Uint8Array[] = [];
  #network: number | undefined;
  #transport: number | undefined;
  #ether = false;

  constructor(private readonly family: TableFamily) {}

  add(expression: Expression): void {
    switch (expression.kind) {
      case 'address':
        this.#address(expression);
        return;
      case 'mark':
        this.#mark(expression);
        return;
      case 'interface':
        this.#interface(expression);
        return;
      case 'port':
        this.#needTransport(PROTOCOLS[expression.protocol]!);
        this.#load(`th ${expression.side}`, k.NFT_REG_1);
        this.#compare(be16(expression.port));
        return;
      case 'local-destination':
        this.#push('fib', [
          attributeBe32(k.NFTA_FIB_DREG, k.NFT_REG_1),
          attributeBe32(k.NFTA_FIB_RESULT, k.NFT_FIB_RESULT_ADDRTYPE),
          attributeBe32(k.NFTA_FIB_FLAGS, k.NFTA_FIB_F_DADDR),
        ]);
        this.#compare(host32(k.RTN_LOCAL));
        return;
      case 'nfproto':
        this.#needNetwork(expression.family);
        return;
      case 'ether':
        this.#load(`ether ${expression.side}`, k.NFT_REG_1);
        this.#compare(macToBytes(parseMac(expression.mac)), expression.not);
        return;
      case 'ct-state':
        this.#connection(
          k.NFT_CT_STATE,
          expression.states.reduce((bits, state) => bits | k.CT_STATES[state], 0),
        );
        return;
      case 'ct-status':
        this.#connection(k.NFT_CT_STATUS, k.CT_STATUSES[expression.status]);
        return;
      case 'lookup':
        this.#lookup(expression.keys, expression.set, [
          ...(expression.not ? [attributeBe32(k.NFTA_LOOKUP_FLAGS, k.NFT_LOOKUP_F_INV)] : []),
        ]);
        return;
      default:
        this.#state(expression);
        return;
    }
  }

  #state(statement: Exclude<Expression, Match>): void {
    switch (statement.kind) {
      case 'counter':
        this.#push('counter', []);
        return;
      case 'set-mark':
        this.#setMark(statement.bits);
        return;
      case 'accept':
      case 'drop':
      case 'return':
      case 'jump':
      case 'goto':
        this.#push('immediate', [
          attributeBe32(k.NFTA_IMMEDIATE_DREG, k.NFT_REG_VERDICT),
          attributeNested(k.NFTA_IMMEDIATE_DATA, [encodeVerdict(statement)]),
        ]);
        return;
      case 'masquerade': {
        const flags = statement.flags.reduce((bits, flag) => bits | k.NAT_FLAGS[flag], 0);
        this.#push('masq', flags === 0 ? [] : [attributeBe32(k.NFTA_MASQ_FLAGS, flags)]);
        return;
      }
      case 'dnat':
        this.#dnat(statement);
        return;
      case 'dnat-map':
        this.#lookup(statement.keys, statement.map, [attributeBe32(k.NFTA_LOOKUP_DREG, k.NFT_REG_1)]);
        this.#nat(statement.family, true);
        return;
      case 'verdict-map':
        this.#lookup(statement.keys, statement.map, [attributeBe32(k.NFTA_LOOKUP_DREG, k.NFT_REG_VERDICT)]);
        return;
      case 'other':
        throw invalid('An expression that is not known cannot be written back');
    }
  }

  #push(name: string, attributes: readonly Uint8Array[]): void {
    this.expressions.push(
      attributeNested(k.NFTA_LIST_ELEM, [
        attributeString(k.NFTA_EXPR_NAME, name),
        attributeNested(k.NFTA_EXPR_DATA, attributes),
      ]),
    );
  }

  #compare(data: Uint8Array, not = false): void {
    this.#push('cmp', [
      attributeBe32(k.NFTA_CMP_SREG, k.NFT_REG_1),
      attributeBe32(k.NFTA_CMP_OP, not ? k.NFT_CMP_NEQ : k.NFT_CMP_EQ),
      attributeNested(k.NFTA_CMP_DATA, [attribute(k.NFTA_DATA_VALUE, data)]),
    ]);
  }

  #meta(key: number, register = k.NFT_REG_1): void {
    this.#push('meta', [attributeBe32(k.NFTA_META_KEY, key), attributeBe32(k.NFTA_META_DREG, register)]);
  }

  /** reg = (reg & mask) ^ xor */
  #bitwise(mask: Uint8Array, xor: Uint8Array = new Uint8Array(mask.length)): void {
    this.#push('bitwise', [
      attributeBe32(k.NFTA_BITWISE_SREG, k.NFT_REG_1),
      attributeBe32(k.NFTA_BITWISE_DREG, k.NFT_REG_1),
      attributeBe32(k.NFTA_BITWISE_LEN, mask.length),
      attributeNested(k.NFTA_BITWISE_MASK, [attribute(k.NFTA_DATA_VALUE, mask)]),
      attributeNested(k.NFTA_BITWISE_XOR, [attribute(k.NFTA_DATA_VALUE, xor)]),
    ]);
  }

  #needNetwork(family: 'ip' | 'ip6'): void {
    if (this.family !== 'inet') {
      if (this.family !== family) throw invalid(`A table of the family ${this.family} has no ${family} addresses`);
      return;
    }
    if (this.#network === FAMILIES[family]) return;
    this.#network = FAMILIES[family];
    this.#meta(k.NFT_META_NFPROTO);
    this.#compare(Uint8Array.of(FAMILIES[family]));
  }

  #needTransport(protocol: number): void {
    if (this.#transport === protocol) return;
    this.#transport = protocol;
    this.#meta(k.NFT_META_L4PROTO);
    this.#compare(Uint8Array.of(protocol));
  }

  #needLayer(key: Key): void {
    if (key.startsWith('ip6 ')) this.#needNetwork('ip6');
    else if (key.startsWith('ip ')) this.#needNetwork('ip');
    else if (key.startsWith('ether ')) this.#needEther();
  }

  /** Only Ethernet has such addresses; a bridge has nothing else. */
  #needEther(): void {
    if (this.family === 'bridge' || this.#ether) return;
    this.#ether = true;
    this.#meta(k.NFT_META_IIFTYPE);
    this.#compare(Uint8Array.of(k.ARPHRD_ETHER, 0));
  }

  #load(key: Key, register: number): void {
    const place = PLACES[key];
    if (place === undefined) {
      const metas = { 'meta l4proto': k.NFT_META_L4PROTO, iifname: k.NFT_META_IIFNAME, oifname: k.NFT_META_OIFNAME };
      this.#meta(metas[key as keyof typeof metas], register);
      return;
    }
    this.#needLayer(key);
    this.#push('payload', [
      attributeBe32(k.NFTA_PAYLOAD_DREG, register),
      attributeBe32(k.NFTA_PAYLOAD_BASE, place.base),
      attributeBe32(k.NFTA_PAYLOAD_OFFSET, place.offset),
      attributeBe32(k.NFTA_PAYLOAD_LEN, place.length),
    ]);
  }

  #address({ family, side, not, prefix }: Extract<Match, { kind: 'address' }>): void {
    const { base, length } = parsePrefix(prefix.includes('/') ? prefix : `${prefix}/${family === 'ip' ? 32 : 128}`);
    const bytes = ipToBytes(base);
    this.#load(`${family} ${side}`, k.NFT_REG_1);
    if (length < bytes.length * 8) this.#bitwise(maskOf(length, bytes.length));
    this.#compare(bytes, not);
  }

  #mark({ not, value, mask }: Extract<Match, { kind: 'mark' }>): void {
    this.#meta(k.NFT_META_MARK);
    if (mask !== undefined) this.#bitwise(host32(mask));
    this.#compare(host32(value), not);
  }

  /** A name that may go on is compared as far as it goes, another one with its NUL and all. */
  #interface({ side, not, name }: Extract<Match, { kind: 'interface' }>): void {
    this.#meta(side === 'iifname' ? k.NFT_META_IIFNAME : k.NFT_META_OIFNAME);
    const bytes = encoder.encode(name);
    this.#compare(name.endsWith('*') ? bytes.subarray(0, -1) : padded(bytes, k.FIELD_TYPES.ifname.length), not);
  }

  #connection(key: number, bits: number): void {
    this.#push('ct', [attributeBe32(k.NFTA_CT_KEY, key), attributeBe32(k.NFTA_CT_DREG, k.NFT_REG_1)]);
    this.#bitwise(host32(bits));
    this.#compare(new Uint8Array(4), true);
  }

  #lookup(keys: readonly Key[], set: string, more: readonly Uint8Array[]): void {
    // Dependencies first: they use the same register.
    for (const key of keys) this.#needLayer(key);
    let word = 0;
    for (const key of keys) {
      this.#load(key, word === 0 ? k.NFT_REG_1 : k.NFT_REG32_00 + word);
      word += words(lengthOf(key));
    }
    this.#push('lookup', [
      attributeString(k.NFTA_LOOKUP_SET, identifier(set)),
      attributeBe32(k.NFTA_LOOKUP_SREG, k.NFT_REG_1),
      ...more,
    ]);
  }

  #setMark(bits: number): void {
    this.#meta(k.NFT_META_MARK);
    this.#bitwise(host32(~bits), host32(bits));
    this.#push('meta', [attributeBe32(k.NFTA_META_KEY, k.NFT_META_MARK), attributeBe32(k.NFTA_META_SREG, k.NFT_REG_1)]);
  }

  #dnat({ family, address, port }: Extract<Statement, { kind: 'dnat' }>): void {
    this.#immediate(k.NFT_REG_1, ipToBytes(parseIp(address, family === 'ip' ? 4 : 6)));
    if (port !== undefined) this.#immediate(k.NFT_REG_2, be16(port));
    this.#nat(family, port !== undefined, k.NFT_REG_2);
  }

  #immediate(register: number, data: Uint8Array): void {
    this.#push('immediate', [
      attributeBe32(k.NFTA_IMMEDIATE_DREG, register),
      attributeNested(k.NFTA_IMMEDIATE_DATA, [attribute(k.NFTA_DATA_VALUE, data)]),
    ]);
  }

  /** By default the port stands in the words after the address, where a map of both puts it. */
  #nat(family: 'ip' | 'ip6', hasPort: boolean, port = k.NFT_REG32_00 + (family === 'ip' ? 1 : 4)): void {
    this.#push('nat', [
      attributeBe32(k.NFTA_NAT_TYPE, k.NFT_NAT_DNAT),
      attributeBe32(k.NFTA_NAT_FAMILY, FAMILIES[family]),
      attributeBe32(k.NFTA_NAT_REG_ADDR_MIN, k.NFT_REG_1),
      ...(hasPort ? [attributeBe32(k.NFTA_NAT_REG_PROTO_MIN, port)] : []),
    ]);
  }
}

function lengthOf(key: Key): number {
  const place = PLACES[key];
  if (place !== undefined) return place.length;
  return key === 'meta l4proto' ? 1 : k.FIELD_TYPES.ifname.length;
}

function maskOf(length: number, bytes: number): Uint8Array {
  return Uint8Array.from({ length: bytes }, (_, at) => 0xff00 >> Math.min(8, Math.max(0, length - 8 * at)));
}

function padded(bytes: Uint8Array, length: number): Uint8Array {
  const result = new Uint8Array(length);
  result.set(bytes);
  return result;
}

function be16(value: number): Uint8Array {
  return Uint8Array.of(value >>> 8, value);
}

/** What the kernel keeps as a number, in the machine's order: little endian on every machine we build for. */
function host32(value: number): Uint8Array {
  return Uint8Array.of(value, value >>> 8, value >>> 16, value >>> 24);
}

function invalid(message: string): NftError {
  return new NftError('INVALID_RULE', message);
}
