/**
 * Whether this node still has the address that the others send to, and which one it has instead: DHCP gives another, an
 * administrator renumbers the network, the address moves to a bridge. flannel needs a restart for that (issues 408, 1052).
 */
import { formatIp, type Ip } from '@flannel-ts/inet/ip';
import { Bell, sleep } from '../abort.ts';
import { messageOf } from '../errors.ts';
import type { InterfaceSearch, UnderlayParts } from './find.ts';
import { addressesOf, describeInterface, type ExternalInterface, type NodeFacts, selectInterface } from './select.ts';

export interface UnderlayWatchTimings {
  /** Without an event of the kernel. */
  readonly everyMs: number;
  /** Between two looks, however many events there are: each look lists all links and addresses. */
  readonly atLeastMs: number;
  /** How long a change must last: addresses are often deleted and added again, and routes come after addresses. */
  readonly settledMs: number;
}

export const WATCH_TIMINGS: UnderlayWatchTimings = { everyMs: 2000, atLeastMs: 250, settledMs: 1500 };

export interface UnderlayWatchParts extends UnderlayParts {
  /** Calls back after changes of links, addresses and routes, until the function it returns is called. */
  readonly onKernelEvent: (listener: () => void) => () => void;
}

/**
 * Each change of what carries the traffic between nodes, from `first` on. Ends only with the signal: an error on the way is
 * reported and tried again, since packets flow without this.
 */
export async function* watchUnderlay(
  search: InterfaceSearch,
  parts: UnderlayWatchParts,
  first: ExternalInterface,
  signal: AbortSignal,
  timings: UnderlayWatchTimings = WATCH_TIMINGS,
): AsyncGenerator<ExternalInterface> {
  const bell = new Bell();
  const unsubscribe = parts.onKernelEvent(() => bell.ring());
  const report = reporter(parts);
  let current = first;
  let change: { readonly to: ExternalInterface; readonly since: number } | undefined;
  try {
    while (!signal.aborted) {
      const { trouble, next } = look(search, parts, current);
      report(trouble);
      if (next === undefined) change = undefined;
      else if (change === undefined || !isSame(change.to, next)) change = { to: next, since: performance.now() };
      if (change !== undefined && performance.now() - change.since >= timings.settledMs) {
        current = change.to;
        change = undefined;
        yield current;
        continue;
      }
      await sleep(timings.atLeastMs, signal);
      await bell.wait(change === undefined ? timings.everyMs : timings.atLeastMs, signal);
    }
  } finally {
    unsubscribe();
  }
}

/** Each trouble is logged once, when it comes. */
function reporter({ report, log }: UnderlayParts): (trouble: string | undefined) => void {
  let last: string | undefined;
  return (trouble) => {
    if (trouble !== undefined && trouble !== last) log.warn(`Underlay: ${trouble}`);
    last = trouble;
    report(trouble);
  };
}

interface Look {
  readonly trouble?: string;
  /** What should be used instead of the present choice. */
  readonly next?: ExternalInterface;
}

function look(search: InterfaceSearch, { read }: UnderlayParts, current: ExternalInterface): Look {
  let facts: NodeFacts;
  try {
    facts = read();
  } catch (error) {
    return { trouble: `cannot look at the interfaces, trying again: ${messageOf(error)}` };
  }
  return judge(search, facts, current);
}

/** The present addresses are kept as long as the node has them, on whatever interface: sockets are bound to an address alone. */
export function judge(search: InterfaceSearch, facts: NodeFacts, current: ExternalInterface): Look {
  const { options, outer } = search;
  const present = describeInterface(current, facts, search);
  if (present !== undefined) {
    const trouble = present.up ? undefined : `the interface ${present.external.name} is down`;
    return {
      ...(trouble !== undefined && { trouble }),
      ...(!isSame(present.external, current) && { next: present.external }),
    };
  }
  const before = addressesOf(current);
  const gone = describeGone(before, facts);
  try {
    const next = selectInterface(options, outer, facts, { ...search, previous: before });
    const to = addressesOf(next).filter((address) => !before.includes(address));
    return { next, trouble: `${gone}: changing to ${to.map(formatIp).join(' and ')} of ${next.name}` };
  } catch (error) {
    const back = before.map((address) => `ip address add ${formatIp(address)}/LENGTH dev ${current.name}`).join('; ');
    return { trouble: `${gone}, and no other one was found: give it back with "${back}": ${messageOf(error)}` };
  }
}

function describeGone(addresses: readonly Ip[], { links }: NodeFacts): string {
  const here = new Set(links.flatMap((link) => link.addresses.map(({ address }) => address)));
  const gone = addresses.filter((address) => !here.has(address));
  return gone.length === 2
    ? `the addresses ${gone.map(formatIp).join(' and ')} are gone from this node`
    : `the address ${formatIp(gone[0] ?? addresses[0]!)} is gone from this node`;
}

function isSame(a: ExternalInterface, b: ExternalInterface): boolean {
  return (
    a.name === b.name &&
    a.index === b.index &&
    a.mtu === b.mtu &&
    a.addresses[4] === b.addresses[4] &&
    a.addresses[6] === b.addresses[6] &&
    a.publicIp === b.publicIp &&
    a.publicIpv6 === b.publicIpv6
  );
}
