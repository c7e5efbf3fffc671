import { addressBits } from '@flannel-ts/inet/family';
import { addToIp, formatIp, type Ip, ipFromNumber } from '@flannel-ts/inet/ip';
import {
  addressAt,
  formatPrefix,
  interfacePrefix,
  lastAddress,
  type Prefix,
  prefixContains,
} from '@flannel-ts/inet/prefix';
import { CniError, ErrorCode } from '../errors.ts';
import { readInterfaceAddress, readIp } from './address.ts';

/**
 * host-local's way of choosing addresses (containernetworking/plugins plugins/ipam/host-local/backend/allocator), without
 * its disk: a *range* is a part of one subnet, a *range set* a list of ranges of one family out of which a container gets
 * one address, and a configuration holds a list of range sets.
 */
export interface RangeConfig {
  readonly subnet: string;
  readonly rangeStart?: string | undefined;
  readonly rangeEnd?: string | undefined;
  readonly gateway?: string | undefined;
}

export interface Range {
  readonly subnet: Prefix;
  readonly start: Ip;
  /** Inclusive. */
  readonly end: Ip;
  readonly gateway: Ip;
}
export type RangeSet = readonly Range[];

export interface Candidate {
  readonly ip: Ip;
  readonly range: Range;
}

function invalid(message: string): CniError {
  return new CniError(ErrorCode.invalidNetworkConfig, message);
}

/** Fills in the defaults: gateway and first address are .1 (the gateway is skipped), the last is broadcast - 1. */
export function parseRange(config: RangeConfig): Range {
  const parsed = readInterfaceAddress(config.subnet);
  if (parsed === undefined) throw invalid(`invalid CIDR address: ${config.subnet}`);
  const subnet = interfacePrefix(parsed);
  if (subnet.length > addressBits(subnet.family) - 2) {
    throw invalid(`Network ${config.subnet} too small to allocate from`);
  }
  if (subnet.base !== parsed.address) {
    const network = formatIp(subnet.base);
    throw invalid(
      `Network has host bits set. For a subnet mask of length ${subnet.length} the network address is ${network}`,
    );
  }
  const within = (name: string, text: string | undefined, fallback: Ip): Ip => {
    if (text === undefined) return fallback;
    const ip = readIp(text);
    if (ip === undefined) throw invalid(`invalid ${name}: ${text}`);
    if (!prefixContains(subnet, ip)) throw invalid(`${name} ${text} not in network ${formatPrefix(subnet)}`);
    return ip;
  };
  const first = addressAt(subnet, 1);
  const last = subnet.family === 4 ? addToIp(lastAddress(subnet), -1) : lastAddress(subnet);
  const gateway = config.gateway === undefined ? first : readIp(config.gateway);
  if (gateway === undefined) throw invalid(`invalid gateway: ${config.gateway}`);
  const start = within('RangeStart', config.rangeStart, first);
  const end = within('RangeEnd', config.rangeEnd, last);
  if (start > end) throw invalid(`RangeStart ${config.rangeStart} comes after RangeEnd ${config.rangeEnd}`);
  return { subnet, start, end, gateway };
}

export function rangeContains(range: Range, ip: Ip): boolean {
  return prefixContains(range.subnet, ip) && ip >= range.start && ip <= range.end;
}

export function findRange(set: RangeSet, ip: Ip): Range | undefined {
  return set.find((range) => rangeContains(range, ip));
}

/** As host-local writes a range set in its messages. */
export function formatRangeSet(set: RangeSet): string {
  return set.map(({ start, end }) => `${formatIp(start)}-${formatIp(end)}`).join(',');
}

function rangesOverlap(a: Range, b: Range): boolean {
  return a.subnet.family === b.subnet.family && a.start <= b.end && b.start <= a.end;
}

/** One family per set; no address in two ranges, of one set or of two. */
export function checkRangeSets(sets: readonly RangeSet[]): void {
  for (const [i, set] of sets.entries()) {
    if (set.length === 0) throw invalid(`invalid range set ${i}: empty range set`);
    for (const [j, range] of set.entries()) {
      if (range.subnet.family !== set[0]?.subnet.family)
        throw invalid(`invalid range set ${i}: mixed address families`);
      const other = set.slice(0, j).find((earlier) => rangesOverlap(earlier, range));
      if (other !== undefined) {
        throw invalid(
          `invalid range set ${i}: subnets ${formatRangeSet([other])} and ${formatRangeSet([range])} overlap`,
        );
      }
    }
    const before = sets.slice(0, i).findIndex((earlier) => earlier.some((a) => set.some((b) => rangesOverlap(a, b))));
    if (before >= 0) throw invalid(`range set ${before} overlaps with ${i}`);
  }
}

/**
 * Every address of the set once, round robin: from the one after `last` (the last one given out) to the end, then from
 * the start. Gateways are left out. A `last` outside of the set counts as none.
 */
export function* candidates(set: RangeSet, last: Ip | undefined): Generator<Candidate> {
  const at = last === undefined ? -1 : set.findIndex((range) => rangeContains(range, last));
  const from = Math.max(at, 0);
  for (let i = 0; i < set.length; i++) {
    const range = set[(from + i) % set.length] as Range;
    const start = i === 0 && at >= 0 && last !== undefined ? BigInt(last) + 1n : BigInt(range.start);
    yield* span(range, start, BigInt(range.end));
  }
  const first = set[from];
  // The last one given out comes last of all.
  if (at >= 0 && last !== undefined && first !== undefined) yield* span(first, BigInt(first.start), BigInt(last));
}

function* span(range: Range, start: bigint, end: bigint): Generator<Candidate> {
  for (let value = start; value <= end; value++) {
    const ip: Ip = ipFromNumber(range.subnet.family, value);
    if (ip !== range.gateway) yield { ip, range };
  }
}
