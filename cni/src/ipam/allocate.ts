import { CniError, ErrorCode } from '../errors.ts';
import {
  blockContains,
  blockOf,
  formatBlock,
  formatIp,
  type IpAddress,
  type IpBlock,
  isTooSmall,
  lastOf,
  parseIp,
  parseIpWithLength,
  sameIp,
} from './address.ts';

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
  readonly subnet: IpBlock;
  readonly start: bigint;
  /** Inclusive. */
  readonly end: bigint;
  readonly gateway: IpAddress;
}
export type RangeSet = readonly Range[];

export interface Candidate {
  readonly ip: IpAddress;
  readonly range: Range;
}

function invalid(message: string): CniError {
  return new CniError(ErrorCode.invalidNetworkConfig, message);
}

/** Fills in the defaults: gateway and first address are .1 (the gateway is skipped), the last is broadcast - 1. */
export function parseRange(config: RangeConfig): Range {
  const parsed = parseIpWithLength(config.subnet);
  if (parsed === undefined) throw invalid(`invalid CIDR address: ${config.subnet}`);
  const subnet = blockOf(parsed.ip, parsed.length);
  if (isTooSmall(subnet)) throw invalid(`Network ${config.subnet} too small to allocate from`);
  if (subnet.base !== parsed.ip.value) {
    const network = formatIp({ family: subnet.family, value: subnet.base });
    throw invalid(
      `Network has host bits set. For a subnet mask of length ${subnet.length} the network address is ${network}`,
    );
  }
  const within = (name: string, text: string | undefined, fallback: bigint): bigint => {
    if (text === undefined) return fallback;
    const ip = parseIp(text);
    if (ip === undefined) throw invalid(`invalid ${name}: ${text}`);
    if (!blockContains(subnet, ip)) throw invalid(`${name} ${text} not in network ${formatBlock(subnet)}`);
    return ip.value;
  };
  const first = subnet.base + 1n;
  const last = subnet.family === 4 ? lastOf(subnet) - 1n : lastOf(subnet);
  const gateway = config.gateway === undefined ? { family: subnet.family, value: first } : parseIp(config.gateway);
  if (gateway === undefined) throw invalid(`invalid gateway: ${config.gateway}`);
  const start = within('RangeStart', config.rangeStart, first);
  const end = within('RangeEnd', config.rangeEnd, last);
  if (start > end) throw invalid(`RangeStart ${config.rangeStart} comes after RangeEnd ${config.rangeEnd}`);
  return { subnet, start, end, gateway };
}

export function rangeContains(range: Range, ip: IpAddress): boolean {
  return blockContains(range.subnet, ip) && ip.value >= range.start && ip.value <= range.end;
}

export function findRange(set: RangeSet, ip: IpAddress): Range | undefined {
  return set.find((range) => rangeContains(range, ip));
}

/** As host-local writes a range set in its messages. */
export function formatRangeSet(set: RangeSet): string {
  const text = (family: 4 | 6, value: bigint): string => formatIp({ family, value });
  return set.map(({ subnet, start, end }) => `${text(subnet.family, start)}-${text(subnet.family, end)}`).join(',');
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
export function* candidates(set: RangeSet, last: IpAddress | undefined): Generator<Candidate> {
  const at = last === undefined ? -1 : set.findIndex((range) => rangeContains(range, last));
  const from = Math.max(at, 0);
  for (let i = 0; i < set.length; i++) {
    const range = set[(from + i) % set.length] as Range;
    const start = i === 0 && at >= 0 && last !== undefined ? last.value + 1n : range.start;
    yield* span(range, start, range.end);
  }
  const first = set[from];
  // The last one given out comes last of all.
  if (at >= 0 && last !== undefined && first !== undefined) yield* span(first, first.start, last.value);
}

function* span(range: Range, start: bigint, end: bigint): Generator<Candidate> {
  for (let value = start; value <= end; value++) {
    const ip: IpAddress = { family: range.subnet.family, value };
    if (!sameIp(ip, range.gateway)) yield { ip, range };
  }
}
