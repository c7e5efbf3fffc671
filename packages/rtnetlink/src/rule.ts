/**
 * Rules that choose the routing table of a packet: `ip rule`.
 * `struct fib_rule_hdr { u8 family, dst_len, src_len, tos, table, res1, res2, action; u32 flags; }` and FRA_* (linux/fib_rules.h).
 */
import type { Family } from '@flannel-ts/inet/family';
import { type Prefix, prefixFrom } from '@flannel-ts/inet/prefix';
import { type Attributes, parseAttributes, readString, readU32, viewOf } from './attributes.ts';
import type { Netlink } from './connection.ts';
import * as c from './constants.ts';
import { checkLength, isNetlinkError } from './errors.ts';
import { addressFamily, familiesOf, familyFrom, ofFamily, readIp } from './family.ts';

const HEADER_LENGTH = 12;

export interface Rule {
  readonly family: Family;
  /** Rules are asked in this order. */
  readonly priority: number;
  /** Undefined: any. */
  readonly from: Prefix | undefined;
  readonly to: Prefix | undefined;
  /** Name of the interface that the packet comes in by. */
  readonly input: string | undefined;
  readonly mark: number | undefined;
  /** It is about packets that are not so. */
  readonly inverted: boolean;
  /** Undefined: it names no table, as `unreachable` or `goto`. */
  readonly table: number | undefined;
}

/** `ip` [`-6`] `rule show`, of both families by default. A family that the kernel does not have, as with `ipv6.disable=1`, has no rules. */
export function listRules(nl: Netlink, filter: { readonly family?: Family | undefined } = {}): Rule[] {
  return familiesOf(filter.family).flatMap((family) => listFamily(nl, family));
}

function listFamily(nl: Netlink, family: Family): Rule[] {
  const header = new Uint8Array(HEADER_LENGTH);
  header[0] = addressFamily(family);
  try {
    const messages = nl.dump({ type: c.RTM_GETRULE, parts: [header], operation: 'list rules' });
    return ofFamily(messages, family).map(({ payload }) => parseRule(payload));
  } catch (error) {
    if (isNetlinkError(error, 'EAFNOSUPPORT')) return [];
    throw error;
  }
}

/** Reads the payload of RTM_NEWRULE and RTM_DELRULE. */
export function parseRule(payload: Uint8Array): Rule {
  checkLength(payload, HEADER_LENGTH, 'read a rule');
  const view = viewOf(payload);
  const family = familyFrom(view.getUint8(0));
  const attributes = parseAttributes(payload.subarray(HEADER_LENGTH));
  const isLookUp = view.getUint8(7) === c.FR_ACT_TO_TBL;
  return {
    family,
    priority: readU32(attributes, c.FRA_PRIORITY) ?? 0,
    from: prefixOf(attributes, c.FRA_SRC, family, view.getUint8(2)),
    to: prefixOf(attributes, c.FRA_DST, family, view.getUint8(1)),
    input: readString(attributes, c.FRA_IIFNAME),
    mark: readU32(attributes, c.FRA_FWMARK),
    inverted: (view.getUint32(8, true) & c.FIB_RULE_INVERT) !== 0,
    // As of a route, the byte in the header holds only tables below 256.
    table: isLookUp ? (readU32(attributes, c.FRA_TABLE) ?? view.getUint8(4)) : undefined,
  };
}

function prefixOf(attributes: Attributes, type: number, family: Family, length: number): Prefix | undefined {
  const base = readIp(attributes, type, family);
  return base === undefined ? undefined : (prefixFrom(base, length) as Prefix);
}
