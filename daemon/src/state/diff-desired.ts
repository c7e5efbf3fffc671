/** What has to be done where only the leases have changed: between two desired states, without a look at the kernel. Pure. */
import { isDeepStrictEqual } from 'node:util';
import { RTPROT_FLANNEL } from '@flannel-ts/flannel/defaults';
import { prefixKey } from '@flannel-ts/inet/prefix';
import type { ActualRoute, ActualState } from './actual.ts';
import { type Change, metricOf } from './change.ts';
import type { DesiredRoute, DesiredState } from './desired.ts';
import { diffFdb, diffNeighbours } from './diff-entries.ts';
import type { LinkDifference } from './diff-links.ts';
import { diffRoutes } from './diff-routes.ts';
import type { Owner } from './owner.ts';

const SAME_LINKS: LinkDifference = {
  changes: [],
  fresh: new Set(),
  flushed: new Set(),
  absent: new Set(),
  foreign: [],
};

/**
 * In the order to apply them, if the kernel is as `before` says: to read thousands of routes and entries back takes longer than
 * to change one. Undefined where devices change, too, which only a look at them can decide. What is one object in both is not compared.
 */
export function diffDesired(before: DesiredState, after: DesiredState, owner: Owner): readonly Change[] | undefined {
  if (!isDeepStrictEqual(before.links, after.links)) return undefined;
  const routes = changedParts(before.routes, after.routes, ({ dst }) => prefixKey(dst));
  const neighbours = changedParts(before.neighbours ?? [], after.neighbours ?? [], ({ address }) => address);
  const fdb = changedParts(before.fdb ?? [], after.fdb ?? [], ({ mac }) => mac);
  const believed: ActualState = {
    links: [],
    routes: routes.before.map(asMade),
    neighbours: neighbours.before.map((entry) => ({ ...entry, permanent: true })),
    fdb: fdb.before.map((entry) => ({ ...entry, permanent: true })),
    leftovers: [],
  };
  const wanted = { ...after, routes: routes.after, neighbours: neighbours.after, fdb: fdb.after };
  const fdbDifference = diffFdb(wanted, believed.fdb, SAME_LINKS);
  const neighbourDifference = diffNeighbours(wanted, believed.neighbours, SAME_LINKS);
  const routeDifference = diffRoutes(wanted, believed, SAME_LINKS, owner);
  return [
    ...routeDifference.guards,
    ...fdbDifference.set,
    ...neighbourDifference.set,
    ...routeDifference.set,
    ...routeDifference.deletions,
    ...neighbourDifference.deletions,
    ...fdbDifference.deletions,
  ];
}

/** Of two lists, all that has a key of something that is in one of them only. */
function changedParts<T, Key>(
  before: readonly T[],
  after: readonly T[],
  keyOf: (value: T) => Key,
): { readonly before: readonly T[]; readonly after: readonly T[] } {
  const least = Math.min(before.length, after.length);
  let head = 0;
  while (head < least && before[head] === after[head]) head++;
  let tail = 0;
  while (tail < least - head && before.at(-1 - tail) === after.at(-1 - tail)) tail++;
  const [old, now] = [before, after].map((values) => new Set(values.slice(head, values.length - tail)));
  const keys = new Set<Key>();
  for (const value of old!) if (!now!.has(value)) keys.add(keyOf(value));
  for (const value of now!) if (!old!.has(value)) keys.add(keyOf(value));
  if (keys.size === 0) return { before: [], after: [] };
  const isChanged = (value: T): boolean => keys.has(keyOf(value));
  return { before: before.filter(isChanged), after: after.filter(isChanged) };
}

function asMade(route: DesiredRoute): ActualRoute {
  const common = { dst: route.dst, type: route.type, metric: metricOf(route), protocol: RTPROT_FLANNEL };
  if (route.type !== 'unicast') return common;
  const { link, gateway, onlink, scope } = route;
  return {
    ...common,
    link,
    ...(gateway !== undefined && { gateway }),
    ...(onlink && { onlink }),
    ...(scope === 'link' && { scope }),
  };
}
