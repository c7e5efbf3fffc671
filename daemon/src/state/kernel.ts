/** The kernel of one network namespace as values, and changes of it carried out. No decisions here. */
import type { Netlink, NetlinkRequest } from '@flannel-ts/rtnetlink/connection';
import { isNetlinkError, type NetlinkError } from '@flannel-ts/rtnetlink/errors';
import { ensureLinkAbsent } from '@flannel-ts/rtnetlink/link';
import type { Action } from '@flannel-ts/rtnetlink/monitor';
import { DaemonError } from '../errors.ts';
import type { ActualLink, ActualState } from './actual.ts';
import { type Change, describeRoute, type EntryChange, type LinkChange, type RouteChange } from './change.ts';
import type { DesiredState } from './desired.ts';
import { Echoes, type FdbChange } from './echoes.ts';
import { entryRequest, readFdb, readNeighbours } from './kernel-entries.ts';
import { KernelLinks } from './kernel-links.ts';
import { readRoutes, routeRequest } from './kernel-routes.ts';
import { findLeftoverDevices } from './leftovers.ts';
import type { Owner } from './owner.ts';

export interface KernelOptions {
  /** Path of the namespace that the connection is of; by default the caller's own. */
  readonly netns?: string;
}

/** Of a deletion: what it asked for is so. */
const GONE_ALREADY: { readonly [T in Change['type']]?: readonly string[] } = {
  'delete-route': ['ESRCH', 'ENODEV'],
  'delete-neighbour': ['ENOENT', 'ENODEV'],
  'delete-fdb': ['ENOENT', 'ENODEV'],
};

export class Kernel {
  private readonly links: KernelLinks;
  private watched: ReadonlySet<number> = new Set();
  private readonly echoes = new Echoes();
  private hasLeftovers = true;

  constructor(
    private readonly nl: Netlink,
    private readonly owner: Owner,
    { netns }: KernelOptions = {},
  ) {
    this.links = new KernelLinks(nl, netns);
  }

  /** Indexes of the devices whose ARP, NDP and FDB entries are ours, as of the last read(). */
  get entryLinks(): ReadonlySet<number> {
    return this.watched;
  }

  /** As of the notifications' `isEcho` (state/events.ts). */
  isEcho({ action, entry }: { readonly action: Action; readonly entry: FdbChange }): boolean {
    return this.echoes.take(action, entry, performance.now());
  }

  close(): void {
    this.links.close();
  }

  /** What there is of the devices that `desired` names, and all routes to and inside the owner's networks. */
  read(desired: DesiredState): ActualState {
    const links = desired.links.map((wanted) => this.links.read(wanted)).filter((link) => link !== undefined);
    const withEntries = links.filter(hasEntries);
    this.watched = new Set(withEntries.map(({ index }) => index));
    return {
      links,
      routes: readRoutes(this.nl, this.owner),
      neighbours: withEntries.flatMap((link) => readNeighbours(this.nl, link)),
      fdb: withEntries.flatMap((link) => readFdb(this.nl, link)),
      leftovers: this.hasLeftovers ? this.leftovers(desired).map(({ name }) => name) : [],
    };
  }

  /** In this order, each whether or not those before it succeeded; for each the error, or undefined. */
  apply(changes: readonly Change[]): unknown[] {
    const outcomes: unknown[] = [];
    for (let first = 0; first < changes.length; ) {
      const change = changes[first]!;
      if (isLinkChange(change)) {
        outcomes.push(errorOf(() => this.links.apply(change)));
        first++;
        continue;
      }
      const end = changes.findIndex((other, at) => at > first && isLinkChange(other));
      const together = changes.slice(first, end === -1 ? undefined : end) as (RouteChange | EntryChange)[];
      for (const outcome of this.applyTogether(together)) outcomes.push(outcome);
      first += together.length;
    }
    return outcomes;
  }

  /** Removes the devices of other backends; resolves with their names. To be used when nothing needs them any more. */
  removeLeftovers(desired: DesiredState): string[] {
    const removed = this.leftovers(desired)
      .filter(({ index }) => ensureLinkAbsent(this.nl, index))
      .map(({ name }) => name);
    this.hasLeftovers = false;
    return removed;
  }

  private leftovers(desired: DesiredState) {
    const names = new Set(desired.links.map(({ name }) => name));
    return findLeftoverDevices(this.nl, this.owner).filter(({ name }) => !names.has(name));
  }

  private expectEcho(change: Change, indexOf: (link: string) => number, now: number): void {
    if (change.type !== 'set-fdb' && change.type !== 'delete-fdb') return;
    const { link, mac, remote: dst } = change.entry;
    this.echoes.expect(change.type === 'set-fdb' ? 'set' : 'deleted', { index: indexOf(link), mac, dst }, now);
  }

  private applyTogether(changes: readonly (RouteChange | EntryChange)[]): unknown[] {
    const indexes = new Map<string, number>();
    const indexOf = (link: string): number => {
      const index = indexes.get(link) ?? this.links.indexOf(link);
      indexes.set(link, index);
      return index;
    };
    const outcomes: unknown[] = changes.map(() => undefined);
    const requests: { readonly request: NetlinkRequest; readonly at: number }[] = [];
    for (const [at, change] of changes.entries()) {
      outcomes[at] = errorOf(() => {
        const request = 'entry' in change ? entryRequest(change, indexOf) : routeRequest(change, indexOf);
        requests.push({ request, at });
      });
    }
    const refusals = this.nl.requestAll(requests.map(({ request }) => request));
    const now = performance.now();
    for (const [n, { at }] of requests.entries()) {
      const change = changes[at]!;
      outcomes[at] = judge(change, refusals[n]);
      if (refusals[n] === undefined) this.expectEcho(change, indexOf, now);
    }
    return outcomes;
  }
}

function judge(change: RouteChange | EntryChange, refusal: NetlinkError | undefined): unknown {
  const gone = GONE_ALREADY[change.type];
  if (gone !== undefined && isNetlinkError(refusal, ...gone)) return undefined;
  // Only where there is none of the same destination and metric: another's stays.
  if (change.type === 'add-route' && isNetlinkError(refusal, 'EEXIST')) {
    return new DaemonError(
      'KERNEL',
      `Somebody else has just made a route in the place of ${describeRoute(change.route)}`,
    );
  }
  return refusal;
}

function isLinkChange(change: Change): change is LinkChange {
  return !('entry' in change || 'route' in change);
}

function hasEntries({ attributes }: ActualLink): boolean {
  return attributes.kind === 'vxlan';
}

function errorOf(run: () => void): unknown {
  try {
    run();
    return undefined;
  } catch (error) {
    return error;
  }
}
