/** What the kernel tells of rules and elements, as values: the way back of encode.ts. Pure. */
import { formatIp, ipFromBytes } from '@flannel-ts/inet/ip';
import { macFromBytes } from '@flannel-ts/inet/mac';
import { formatPrefix, prefixFrom } from '@flannel-ts/inet/prefix';
import {
  type Attributes,
  listAttributes,
  parseAttributes,
  readBe32,
  readNested,
  readString,
} from '@flannel-ts/rtnetlink/attributes';
import type {
  Chain,
  CtState,
  Expression,
  Fields,
  FieldType,
  Hook,
  Key,
  MasqueradeFlag,
  Rule,
  SetElement,
  SetSpec,
  TableFamily,
  Verdict,
} from '../ruleset.ts';
import * as k from './constants.ts';
import { FAMILIES, PLACES, PROTOCOLS } from './encode.ts';

const decoder = new TextDecoder();

export interface KernelRule extends Rule {
  readonly chain: string;
  readonly handle: bigint;
}

/** @param attributes those of the message, behind its nfgenmsg */
export function decodeRule(attributes: Attributes): KernelRule {
  const handle = attributes.get(k.NFTA_RULE_HANDLE);
  const comment = decodeComment(attributes.get(k.NFTA_RULE_USERDATA));
  return {
    chain: readString(attributes, k.NFTA_RULE_CHAIN) ?? '',
    handle: handle === undefined ? 0n : new DataView(handle.buffer, handle.byteOffset, 8).getBigUint64(0),
    expressions: new RuleDecoder().decode(attributes.get(k.NFTA_RULE_EXPRESSIONS) ?? new Uint8Array(0)),
    ...(comment !== undefined && { comment }),
  };
}

export function decodeChain(attributes: Attributes): Omit<Chain, 'rules'> {
  const name = readString(attributes, k.NFTA_CHAIN_NAME) ?? '';
  const type = readString(attributes, k.NFTA_CHAIN_TYPE);
  const place = readNested(attributes, k.NFTA_CHAIN_HOOK);
  const hook = k.NF_INET_HOOKS[readBe32(place, k.NFTA_HOOK_HOOKNUM) ?? -1];
  if (type === undefined || hook === undefined) return { name };
  const priority = (readBe32(place, k.NFTA_HOOK_PRIORITY) ?? 0) | 0;
  const policy = readBe32(attributes, k.NFTA_CHAIN_POLICY) === k.NF_DROP ? 'drop' : 'accept';
  return { name, hook: { type, hook, priority, policy } as Hook };
}

/** The elements of one message of a listing. */
export function decodeElements(attributes: Attributes, set: SetSpec): SetElement[] {
  const list = attributes.get(k.NFTA_SET_ELEM_LIST_ELEMENTS) ?? new Uint8Array(0);
  return listAttributes(list).map(({ payload }) => decodeElement(parseAttributes(payload), set));
}

function decodeElement(element: Attributes, set: SetSpec): SetElement {
  const key = decodeFields(dataOf(element, k.NFTA_SET_ELEM_KEY), set.key);
  const comment = decodeComment(element.get(k.NFTA_SET_ELEM_USERDATA));
  const data = element.has(k.NFTA_SET_ELEM_DATA) ? decodeData(element, set) : undefined;
  return { key, ...(data !== undefined && { data }), ...(comment !== undefined && { comment }) };
}

function decodeData(element: Attributes, { data }: SetSpec): Fields | Verdict | undefined {
  if (data === undefined) return undefined;
  if (data !== 'verdict') return decodeFields(dataOf(element, k.NFTA_SET_ELEM_DATA), data);
  return decodeVerdict(readNested(readNested(element, k.NFTA_SET_ELEM_DATA), k.NFTA_DATA_VERDICT));
}

function dataOf(attributes: Attributes, type: number): Uint8Array {
  return readNested(attributes, type).get(k.NFTA_DATA_VALUE) ?? new Uint8Array(0);
}

function decodeFields(bytes: Uint8Array, types: readonly FieldType[]): string[] {
  let at = 0;
  return types.map((type) => {
    const { length } = k.FIELD_TYPES[type];
    const field = bytes.subarray(at, at + length);
    at += Math.ceil(length / 4) * 4;
    return field.length < length ? '' : decodeField(field, type);
  });
}

function decodeField(bytes: Uint8Array, type: FieldType): string {
  switch (type) {
    case 'ipv4_addr':
      return formatIp(ipFromBytes(4, bytes));
    case 'ipv6_addr':
      return formatIp(ipFromBytes(6, bytes));
    case 'ether_addr':
      return macFromBytes(bytes);
    case 'inet_proto':
      return protocolName(bytes[0]!) ?? String(bytes[0]);
    case 'inet_service':
      return String(be16(bytes));
    case 'mark':
      return String(host32(bytes));
    case 'ifname':
      return textOf(bytes);
  }
}

function decodeVerdict(verdict: Attributes): Verdict | undefined {
  const target = readString(verdict, k.NFTA_VERDICT_CHAIN) ?? '';
  switch ((readBe32(verdict, k.NFTA_VERDICT_CODE) ?? 0) | 0) {
    case k.NF_ACCEPT:
      return { kind: 'accept' };
    case k.NF_DROP:
      return { kind: 'drop' };
    case k.NFT_RETURN:
      return { kind: 'return' };
    case k.NFT_JUMP:
      return { kind: 'jump', target };
    case k.NFT_GOTO:
      return { kind: 'goto', target };
    default:
      return undefined;
  }
}

/** Entries of a type, a length and a value; 0 is the comment. */
function decodeComment(userdata: Uint8Array | undefined): string | undefined {
  if (userdata === undefined) return undefined;
  for (let at = 0; at + 2 <= userdata.length; at += 2 + userdata[at + 1]!) {
    if (userdata[at] === 0) return textOf(userdata.subarray(at + 2, at + 2 + userdata[at + 1]!));
  }
  return undefined;
}

/** What a register holds. */
interface Loaded {
  readonly field: string;
  readonly mask?: Uint8Array;
  readonly xor?: Uint8Array;
  /** A constant, by which addresses are changed. */
  readonly constant?: Uint8Array;
  /** Of a payload that was loaded in part, as far as a prefix goes. */
  readonly partial?: number;
}

/** Follows the registers of one rule. What it cannot read becomes `other`, and so equals nothing. */
class RuleDecoder {
  readonly #found: Expression[] = [];
  /** By words: NFT_REG_1 is word 0. */
  readonly #registers = new Map<number, Loaded>();
  #fresh: number[] = [];
  /** Asked of the packet, and not yet needed by another expression. */
  #pending: string | undefined;
  #transport: number | undefined;

  decode(list: Uint8Array): Expression[] {
    for (const { payload } of listAttributes(list)) {
      const expression = parseAttributes(payload);
      const name = readString(expression, k.NFTA_EXPR_NAME) ?? '';
      if (!this.#read(name, readNested(expression, k.NFTA_EXPR_DATA))) this.#unknown(name);
    }
    this.#settle();
    return this.#found;
  }

  #unknown(json: unknown): void {
    this.#found.push({ kind: 'other', json });
  }

  #read(name: string, data: Attributes): boolean {
    switch (name) {
      case 'payload':
        return this.#payload(data);
      case 'meta':
        return this.#meta(data);
      case 'fib': {
        const isType = readBe32(data, k.NFTA_FIB_RESULT) === k.NFT_FIB_RESULT_ADDRTYPE;
        if (!isType || readBe32(data, k.NFTA_FIB_FLAGS) !== k.NFTA_FIB_F_DADDR) return false;
        return this.#load(readBe32(data, k.NFTA_FIB_DREG), { field: 'fib' });
      }
      case 'ct': {
        const fields: Readonly<Record<number, string>> = { [k.NFT_CT_STATE]: 'state', [k.NFT_CT_STATUS]: 'status' };
        const field = fields[readBe32(data, k.NFTA_CT_KEY) ?? -1];
        return field !== undefined && this.#load(readBe32(data, k.NFTA_CT_DREG), { field: `ct ${field}` });
      }
      case 'bitwise':
        return this.#bitwise(data);
      case 'cmp':
        return this.#compare(data);
      case 'lookup':
        return this.#lookup(data);
      case 'immediate':
        return this.#immediate(data);
      case 'counter':
        return this.#push({ kind: 'counter' });
      case 'masq':
        return this.#masquerade(data);
      case 'nat':
        return this.#nat(data);
      default:
        return false;
    }
  }

  /** What was asked for by itself, and not for the sake of what follows. */
  #settle(): void {
    const pending = this.#pending;
    this.#pending = undefined;
    if (pending === `nfproto ${k.NFPROTO_IPV4}`) this.#found.push({ kind: 'nfproto', family: 'ip' });
    else if (pending === `nfproto ${k.NFPROTO_IPV6}`) this.#found.push({ kind: 'nfproto', family: 'ip6' });
    else if (pending !== undefined) this.#unknown(pending);
  }

  #push(expression: Expression): true {
    this.#settle();
    this.#found.push(expression);
    return true;
  }

  #load(register: number | undefined, loaded: Loaded): boolean {
    if (register === undefined) return false;
    const word = wordOf(register);
    this.#registers.set(word, loaded);
    this.#fresh = [...this.#fresh.filter((each) => each !== word), word];
    return true;
  }

  #take(register: number | undefined): Loaded | undefined {
    if (register === undefined) return undefined;
    this.#fresh = this.#fresh.filter((each) => each !== wordOf(register));
    return this.#registers.get(wordOf(register));
  }

  #payload(data: Attributes): boolean {
    const base = readBe32(data, k.NFTA_PAYLOAD_BASE);
    const offset = readBe32(data, k.NFTA_PAYLOAD_OFFSET);
    const length = readBe32(data, k.NFTA_PAYLOAD_LEN) ?? 0;
    // 16 bytes from offset 8 are an IPv6 address only where the protocol was asked for.
    const entry = Object.entries(PLACES).find(
      ([, place]) => place.base === base && place.offset === offset && length <= place.length && fits(place, length),
    );
    if (entry === undefined) return false;
    const [field, place] = entry;
    const needed = field.startsWith('ether') ? `iiftype ${k.ARPHRD_ETHER}` : 'nfproto';
    if (!field.startsWith('th') && this.#pending?.startsWith(needed)) this.#pending = undefined;
    const partial = length < place.length ? { partial: length } : {};
    return this.#load(readBe32(data, k.NFTA_PAYLOAD_DREG), { field, ...partial });
  }

  #meta(data: Attributes): boolean {
    const fields: Readonly<Record<number, string>> = {
      [k.NFT_META_MARK]: 'mark',
      [k.NFT_META_IIFNAME]: 'iifname',
      [k.NFT_META_OIFNAME]: 'oifname',
      [k.NFT_META_IIFTYPE]: 'iiftype',
      [k.NFT_META_NFPROTO]: 'nfproto',
      [k.NFT_META_L4PROTO]: 'meta l4proto',
    };
    const field = fields[readBe32(data, k.NFTA_META_KEY) ?? -1];
    if (field === undefined) return false;
    if (!data.has(k.NFTA_META_SREG)) return this.#load(readBe32(data, k.NFTA_META_DREG), { field });
    const source = this.#take(readBe32(data, k.NFTA_META_SREG));
    if (field !== 'mark' || source?.field !== 'mark' || !source.mask || !source.xor) return false;
    const bits = host32(source.xor);
    return host32(source.mask) === ~bits >>> 0 && this.#push({ kind: 'set-mark', bits });
  }

  #bitwise(data: Attributes): boolean {
    const source = this.#take(readBe32(data, k.NFTA_BITWISE_SREG));
    const mask = dataOf(data, k.NFTA_BITWISE_MASK);
    if (source === undefined || source.mask !== undefined || mask.length === 0) return false;
    const xor = dataOf(data, k.NFTA_BITWISE_XOR);
    return this.#load(readBe32(data, k.NFTA_BITWISE_DREG), { ...source, mask, xor });
  }

  #compare(data: Attributes): boolean {
    const loaded = this.#take(readBe32(data, k.NFTA_CMP_SREG));
    const operator = readBe32(data, k.NFTA_CMP_OP);
    const value = dataOf(data, k.NFTA_CMP_DATA);
    if (loaded === undefined || (operator !== k.NFT_CMP_EQ && operator !== k.NFT_CMP_NEQ)) return false;
    const not = operator === k.NFT_CMP_NEQ;
    const { field, mask, xor } = loaded;
    if (xor?.some((byte) => byte !== 0)) return false;
    if (field === 'nfproto' || field === 'iiftype' || field === 'meta l4proto')
      return !not && this.#depend(field, value[0]!);
    if (field.startsWith('ct ')) return not && mask !== undefined && isZero(value) && this.#connection(field, mask);
    const negated = not ? { not } : {};
    if (field === 'mark') {
      const masked = mask === undefined ? {} : { mask: host32(mask) };
      return this.#push({ kind: 'mark', ...negated, value: host32(value), ...masked });
    }
    if (field.startsWith('ip')) return this.#address(loaded, value, negated);
    if (mask !== undefined) return false;
    return this.#plain(field, value, negated);
  }

  #plain(field: string, value: Uint8Array, negated: { not?: boolean }): boolean {
    if (field === 'fib')
      return !negated.not && host32(value) === k.RTN_LOCAL && this.#push({ kind: 'local-destination' });
    if (field === 'iifname' || field === 'oifname') {
      const name = value.length === k.FIELD_TYPES.ifname.length ? textOf(value) : `${textOf(value)}*`;
      return this.#push({ kind: 'interface', side: field, ...negated, name });
    }
    const [layer, side] = field.split(' ') as [string, 'saddr'];
    if (layer === 'ether') return this.#push({ kind: 'ether', side, ...negated, mac: macFromBytes(value) });
    if (layer !== 'th' || negated.not || this.#transport === undefined) return false;
    const protocol = protocolName(this.#transport);
    if (protocol === undefined) return false;
    this.#pending = undefined;
    const port = { side: side as unknown as 'dport', port: be16(value) };
    return this.#push({ kind: 'port', protocol: protocol as 'tcp', ...port });
  }

  #depend(field: string, value: number): true {
    this.#settle();
    this.#pending = `${field} ${value}`;
    if (field === 'meta l4proto') this.#transport = value;
    return true;
  }

  #connection(field: string, mask: Uint8Array): boolean {
    const bits = host32(mask);
    if (field === 'ct status') {
      const status = (Object.keys(k.CT_STATUSES) as (keyof typeof k.CT_STATUSES)[]).find(
        (each) => k.CT_STATUSES[each] === bits,
      );
      return status !== undefined && this.#push({ kind: 'ct-status', status });
    }
    const states = (Object.keys(k.CT_STATES) as CtState[]).filter((each) => bits & k.CT_STATES[each]);
    const known = states.reduce((all, each) => all | k.CT_STATES[each], 0);
    return known === bits && this.#push({ kind: 'ct-state', states });
  }

  #address({ field, mask, partial }: Loaded, value: Uint8Array, negated: { not?: boolean }): boolean {
    const [family, side] = field.split(' ') as ['ip' | 'ip6', 'saddr'];
    const size = family === 'ip' ? 4 : 16;
    const length = partial !== undefined ? 8 * partial : mask === undefined ? 8 * size : lengthOfMask(mask);
    if (length === undefined || (partial !== undefined && mask !== undefined)) return false;
    const whole = new Uint8Array(size);
    whole.set(value);
    const ip = ipFromBytes(family === 'ip' ? 4 : 6, whole);
    const prefix = length === 8 * size ? formatIp(ip) : formatPrefix(prefixFrom(ip, length));
    return this.#push({ kind: 'address', family, side, ...negated, prefix });
  }

  #lookup(data: Attributes): boolean {
    const set = readString(data, k.NFTA_LOOKUP_SET) ?? '';
    const keys = [...this.#fresh].sort((a, b) => a - b).map((word) => this.#registers.get(word)!.field as Key);
    this.#fresh = [];
    const result = readBe32(data, k.NFTA_LOOKUP_DREG);
    if (result === k.NFT_REG_VERDICT) return this.#push({ kind: 'verdict-map', keys, map: set });
    if (result !== undefined) return this.#load(result, { field: `map ${set} ${keys.join(' . ')}` });
    const not = (readBe32(data, k.NFTA_LOOKUP_FLAGS) ?? 0) & k.NFT_LOOKUP_F_INV ? { not: true } : {};
    return this.#push({ kind: 'lookup', keys, ...not, set });
  }

  #immediate(data: Attributes): boolean {
    const register = readBe32(data, k.NFTA_IMMEDIATE_DREG);
    if (register !== k.NFT_REG_VERDICT) {
      return this.#load(register, { field: 'constant', constant: dataOf(data, k.NFTA_IMMEDIATE_DATA) });
    }
    const verdict = decodeVerdict(readNested(readNested(data, k.NFTA_IMMEDIATE_DATA), k.NFTA_DATA_VERDICT));
    return verdict !== undefined && this.#push(verdict);
  }

  #masquerade(data: Attributes): boolean {
    const bits = readBe32(data, k.NFTA_MASQ_FLAGS) ?? 0;
    const flags = (Object.keys(k.NAT_FLAGS) as MasqueradeFlag[]).filter((flag) => bits & k.NAT_FLAGS[flag]);
    return this.#push({ kind: 'masquerade', flags });
  }

  #nat(data: Attributes): boolean {
    const family = (Object.keys(FAMILIES) as TableFamily[]).find(
      (each) => FAMILIES[each] === readBe32(data, k.NFTA_NAT_FAMILY),
    );
    const source = this.#take(readBe32(data, k.NFTA_NAT_REG_ADDR_MIN));
    if (readBe32(data, k.NFTA_NAT_TYPE) !== k.NFT_NAT_DNAT || source === undefined) return false;
    if (family !== 'ip' && family !== 'ip6') return false;
    const [word, map, ...rest] = source.field.split(' ');
    if (word === 'map') {
      const keys = rest.join(' ').split(' . ') as Key[];
      return this.#push({ kind: 'dnat-map', family, keys, map: map! });
    }
    if (source.constant === undefined) return false;
    const port = this.#take(readBe32(data, k.NFTA_NAT_REG_PROTO_MIN))?.constant;
    const address = formatIp(ipFromBytes(family === 'ip' ? 4 : 6, source.constant));
    return this.#push({ kind: 'dnat', family, address, ...(port !== undefined && { port: be16(port) }) });
  }
}

/** A part of an address is one of whole bytes; of nothing else is a part loaded. */
function fits(place: { readonly base: number; readonly length: number }, length: number): boolean {
  return length === place.length || place.base === k.NFT_PAYLOAD_NETWORK_HEADER;
}

function wordOf(register: number): number {
  return register >= k.NFT_REG32_00 ? register - k.NFT_REG32_00 : (register - k.NFT_REG_1) * 4;
}

function lengthOfMask(mask: Uint8Array): number | undefined {
  const bits = [...mask].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  return /^1*0*$/.test(bits) ? bits.lastIndexOf('1') + 1 : undefined;
}

function isZero(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0);
}

function protocolName(number: number): string | undefined {
  return Object.keys(PROTOCOLS).find((name) => PROTOCOLS[name] === number);
}

function textOf(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return decoder.decode(end < 0 ? bytes : bytes.subarray(0, end));
}

function be16(bytes: Uint8Array): number {
  return (bytes[0]! << 8) | bytes[1]!;
}

function host32(bytes: Uint8Array): number {
  return (bytes[0]! | (bytes[1]! << 8) | (bytes[2]! << 16) | (bytes[3]! << 24)) >>> 0;
}
