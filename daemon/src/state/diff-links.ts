/** Devices and what is set on them: the difference between desired and actual. Pure. */
import { sameInterfaceAddress } from '@flannel-ts/inet/prefix';
import type { Device } from '@flannel-ts/wireguard/device';
import type { ActualLink, ActualState } from './actual.ts';
import type { KernelLink, LinkChange } from './change.ts';
import { compareLink } from './compare-link.ts';
import type { DesiredLink, DesiredState } from './desired.ts';
import { diffWireguard, type KnownEndpoints } from './wireguard.ts';

export interface LinkDifference {
  /** In the order to apply them. */
  readonly changes: readonly LinkChange[];
  /** Names of those that are new after the changes: nothing that the kernel had of them is left. */
  readonly fresh: ReadonlySet<string>;
  /** Names of those whose neighbours the kernel forgets with the changes (arp_netdev_event() and ndisc_netdev_event() of the kernel). */
  readonly flushed: ReadonlySet<string>;
  /** Names of those that are not there after the changes either, or not yet as they should be. */
  readonly absent: ReadonlySet<string>;
  /** Devices of others under the names of ours: they stay. */
  readonly foreign: readonly ForeignLink[];
}

export interface ForeignLink {
  readonly name: string;
  /** Like `a dummy device`. */
  readonly description: string;
}

export function diffLinks(desired: DesiredState, actual: ActualState): LinkDifference {
  const there = new Map(actual.links.map((link) => [link.name, link]));
  const changes: LinkChange[] = [];
  const fresh = new Set<string>();
  const absent = new Set<string>();
  const foreign: ForeignLink[] = [];
  for (const wanted of desired.links) {
    const { name } = wanted;
    const found = there.get(name);
    if (isMadeByDataPath(wanted)) {
      if (found?.attributes.kind === 'tun') changes.push(...diffLink(wanted, found, desired.complete));
      else absent.add(name);
      continue;
    }
    const comparison = found === undefined ? undefined : compareLink(wanted, found);
    if (comparison?.answer === 'foreign') {
      foreign.push({ name, description: comparison.description });
      absent.add(name);
    } else if (comparison?.answer === 'remake' && !desired.complete) {
      // What it has of peers may still be right, and could not be made again before they are known.
      absent.add(name);
    } else if (found === undefined || comparison?.answer === 'remake') {
      fresh.add(name);
      const make: LinkChange =
        comparison?.answer === 'remake'
          ? { type: 'remake-link', link: wanted, reason: comparison.reason }
          : { type: 'add-link', link: wanted };
      changes.push(make, ...diffLink(wanted, justMade(wanted), desired.complete));
    } else {
      changes.push(...diffLink(wanted, found, desired.complete));
    }
  }
  return { changes, fresh, flushed: new Set(changes.flatMap(flushes)), absent, foreign };
}

function flushes(change: LinkChange): string[] {
  if (change.type !== 'set-link') return [];
  const { mac, arp } = change.settings;
  return mac === undefined && arp === undefined ? [] : [change.link];
}

/** Devices that the data path has to make first. */
export function missingTunLinks(desired: DesiredState, actual: ActualState): DesiredLink[] {
  const there = new Set(actual.links.filter(({ attributes }) => attributes.kind === 'tun').map(({ name }) => name));
  return desired.links.filter((link) => isMadeByDataPath(link) && !there.has(link.name));
}

function isMadeByDataPath(link: DesiredLink): link is Exclude<DesiredLink, KernelLink> {
  return link.kind === 'tun';
}

function diffLink(wanted: DesiredLink, there: ActualLink, complete: boolean): LinkChange[] {
  const changes: LinkChange[] = [];
  const { name } = wanted;
  const comparison = compareLink(wanted, there);
  if (wanted.kind === 'wireguard' && there.attributes.kind === 'wireguard') {
    const { device, known, readAt } = there.attributes;
    const change = diffWireguard(wanted, device, known, readAt, complete);
    if (change !== undefined) changes.push({ type: 'set-wireguard', link: name, wanted, change });
  }
  const missing = wanted.addresses.filter((address) => !there.addresses.some((a) => sameInterfaceAddress(a, address)));
  const surplus = there.addresses.filter((address) => !wanted.addresses.some((a) => sameInterfaceAddress(a, address)));
  // The new one first: with the last address of a device its routes go, too.
  for (const address of missing) changes.push({ type: 'add-address', link: name, address });
  for (const address of surplus) changes.push({ type: 'delete-address', link: name, address });
  if (comparison.answer === 'settings') changes.push({ type: 'set-link', link: name, settings: comparison.settings });
  return changes;
}

/** As `add-link` leaves it. */
function justMade(wanted: KernelLink): ActualLink {
  const { name, mtu } = wanted;
  return { name, index: 0, mtu, up: false, arp: true, addresses: [], attributes: attributesJustMade(wanted) };
}

function attributesJustMade(wanted: KernelLink): ActualLink['attributes'] {
  switch (wanted.kind) {
    case 'vxlan':
      return { ...wanted, group: undefined, omitsChecksums: false, oddities: [] };
    case 'ipip':
      return { ...wanted, remote: undefined, oddities: [] };
    case 'wireguard':
      return { kind: 'wireguard', device: { ...NEW_DEVICE, name: wanted.name }, known: NOTHING_KNOWN, readAt: 0 };
  }
}

const NOTHING_KNOWN: KnownEndpoints = new Map();
const NEW_DEVICE: Omit<Device, 'name'> = {
  index: 0,
  privateKey: undefined,
  publicKey: undefined,
  listenPort: 0,
  fwmark: 0,
  peers: [],
};
