import { formatIp, type Ip } from '@flannel-ts/inet/ip';
import { readTextFile } from '@flannel-ts/linux/text-files';
import { CniError, ErrorCode } from '../errors.ts';
import type { CniAddress, CniDns, CniResult } from '../result.ts';
import { type Candidate, candidates, findRange, formatRangeSet, type RangeSet } from './allocate.ts';
import type { HostLocalConfig } from './config.ts';
import { type Owner, Store } from './store.ts';

/** An address given out, with what an interface needs to use it. */
export interface Reservation {
  readonly ip: Ip;
  readonly prefixLength: number;
  readonly gateway: Ip;
}

/**
 * One address out of each range set, or none: what was taken before a failure is given back.
 * `mayHoldAddress` says that the owner may have been here before; only then are all files read to refuse a second address.
 */
export function reserveAddresses(
  store: Store,
  config: HostLocalConfig,
  owner: Owner,
  mayHoldAddress: boolean,
): Reservation[] {
  return store.locked(() => {
    if (mayHoldAddress) refuseDuplicate(store, config, owner);
    const taken: Candidate[] = [];
    const wanted = [...config.requested];
    try {
      for (const [index, set] of config.rangeSets.entries()) {
        const at = wanted.findIndex((ip) => findRange(set, ip) !== undefined);
        const [ip] = at < 0 ? [] : wanted.splice(at, 1);
        taken.push(ip === undefined ? takeNext(store, set, index, owner) : takeRequested(store, set, index, owner, ip));
      }
      if (wanted.length > 0) {
        const list = wanted.map(formatIp).join(' ');
        throw new CniError(ErrorCode.invalidNetworkConfig, `failed to allocate all requested IPs: ${list}`);
      }
    } catch (error) {
      for (const { ip } of taken) store.release(ip, owner);
      throw error;
    }
    return taken.map(({ ip, range }) => ({ ip, prefixLength: range.subnet.length, gateway: range.gateway }));
  });
}

function refuseDuplicate(store: Store, config: HostLocalConfig, owner: Owner): void {
  const indexOf = (ip: Ip): number => config.rangeSets.findIndex((set) => findRange(set, ip) !== undefined);
  const held = store.find(owner).find((ip) => indexOf(ip) >= 0);
  if (held === undefined) return;
  throw new CniError(
    ErrorCode.duplicateAllocation,
    `failed to allocate for range ${indexOf(held)}: ${formatIp(held)} has been allocated to ${owner.containerId}, duplicate allocation is not allowed`,
  );
}

function takeNext(store: Store, set: RangeSet, index: number, owner: Owner): Candidate {
  const found = store.reserveFirst(candidates(set, store.lastReserved(index)), owner);
  if (found === undefined) {
    throw new CniError(
      ErrorCode.noAddressLeft,
      `failed to allocate for range ${index}: no IP addresses available in range set: ${formatRangeSet(set)}`,
    );
  }
  return remember(store, index, owner, found);
}

function takeRequested(store: Store, set: RangeSet, index: number, owner: Owner, ip: Ip): Candidate {
  const refuse = (reason: string): CniError =>
    new CniError(ErrorCode.invalidNetworkConfig, `failed to allocate for range ${index}: ${reason}`);
  const range = findRange(set, ip);
  if (range === undefined) throw refuse(`${formatIp(ip)} not in range set ${formatRangeSet(set)}`);
  if (ip === range.gateway) throw refuse(`requested ip ${formatIp(ip)} is subnet's gateway`);
  if (!store.reserve(ip, owner)) {
    throw refuse(`requested IP address ${formatIp(ip)} is not available in range set ${formatRangeSet(set)}`);
  }
  return remember(store, index, owner, { ip, range });
}

function remember(store: Store, index: number, owner: Owner, taken: Candidate): Candidate {
  try {
    store.setLastReserved(index, taken.ip);
  } catch (error) {
    store.release(taken.ip, owner);
    throw error;
  }
  return taken;
}

/** Gives back exactly these addresses: the roll-back of an ADD. */
export function returnAddresses(store: Store, owner: Owner, reservations: readonly Reservation[]): void {
  if (reservations.length === 0) return;
  store.locked(() => {
    for (const { ip } of reservations) store.release(ip, owner);
  });
}

/** Gives back what heldAddresses() found. */
export function releaseAddresses(store: Store, owner: Owner, addresses: readonly Ip[]): void {
  if (addresses.length === 0) return;
  store.locked(() => {
    for (const ip of addresses) store.release(ip, owner);
  });
}

export interface Hints {
  /** Addresses seen on the interface, or in prevResult. */
  readonly addresses: readonly Ip[];
  /** How many an ADD takes. */
  readonly expected: number;
  /** There is nothing but these. */
  readonly areAll: boolean;
}

/**
 * All addresses of an owner. If those hinted at are the owner's and as many as an ADD takes, the other files need not be read. As
 * long as they are held, nobody else gets them.
 */
export function heldAddresses(store: Store, owner: Owner, { addresses, expected, areAll }: Hints): Ip[] {
  if (!store.exists()) return [];
  const held = [...new Set(addresses)].filter((ip) => store.holds(ip, owner));
  if (areAll || (held.length > 0 && held.length >= expected)) return held;
  return [...new Set([...held, ...store.locked(() => store.find(owner))])];
}

/** Whether this address is still the owner's: one file read, no lock needed for that. */
export function holdsAddress(directory: string, owner: Owner, ip: Ip): boolean {
  return new Store(directory).holds(ip, owner);
}

/** The part of a result that IPAM is responsible for. */
export function ipamResult(config: HostLocalConfig, reservations: readonly Reservation[]): CniResult {
  const ips = reservations.map(
    ({ ip, prefixLength, gateway }): CniAddress => ({
      address: `${formatIp(ip)}/${prefixLength}`,
      gateway: formatIp(gateway),
    }),
  );
  const dns = config.resolvConf === undefined ? {} : parseResolvConf(readTextFile(config.resolvConf));
  return { interfaces: [], ips, routes: config.routes, dns };
}

/** resolv.conf(5), the keywords that a CNI result has room for. */
export function parseResolvConf(text: string): CniDns {
  const nameservers: string[] = [];
  const search: string[] = [];
  const options: string[] = [];
  let domain: string | undefined;
  for (const line of text.split('\n')) {
    const [keyword, ...values] = line.trim().split(/\s+/);
    if (line.startsWith('#') || line.startsWith(';') || values.length === 0) continue;
    if (keyword === 'nameserver') nameservers.push(values[0] as string);
    else if (keyword === 'domain') domain = values[0];
    else if (keyword === 'search') search.push(...values);
    else if (keyword === 'options') options.push(...values);
  }
  return domain === undefined ? { nameservers, search, options } : { nameservers, search, options, domain };
}
