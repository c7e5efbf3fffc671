/** What has to be done where only the leases have changed: between two desired states, without a look at the kernel. Pure. */
import { isDeepStrictEqual } from 'node:util';
import { RTPROT_FLANNEL } from '@flannel-ts/flannel/defaults';
import type { ActualRoute, ActualState } from './actual.ts';
import { type Change, metricOf } from './change.ts';
import type { DesiredRoute, DesiredState } from './desired.ts';
import { diffFdb, diffNeighbours } from './diff-entries.ts';
import type { LinkDifference } from './diff-links.ts';
import { diffRoutes } from './diff-routes.ts';
import type { Owner } from './owner.ts';

const SAME_LINKS: LinkDifference = { changes: [], fresh: new Set(), absent: new Set(), foreign: [] };

/**
 * In the order to apply them, if the kernel is as `before` says: to read thousands of routes and entries back takes longer than
 * to change one. Undefined where devices change, too, which only a look at them can decide.
 */
export function diffDesired(before: DesiredState, after: DesiredState, owner: Owner): readonly Change[] | undefined {
  if (!isDeepStrictEqual(before.links, after.links)) return undefined;
  const believed: ActualState = {
    links: [],
    routes: before.routes.map(asMade),
    neighbours: (before.neighbours ?? []).map((entry) => ({ ...entry, permanent: true })),
    fdb: (before.fdb ?? []).map((entry) => ({ ...entry, permanent: true })),
    leftovers: [],
  };
  const fdb = diffFdb(after, believed.fdb, SAME_LINKS);
  const neighbours = diffNeighbours(after, believed.neighbours, SAME_LINKS);
  const routes = diffRoutes(after, believed, SAME_LINKS, owner);
  return [
    ...routes.guards,
    ...fdb.set,
    ...neighbours.set,
    ...routes.set,
    ...routes.deletions,
    ...neighbours.deletions,
    ...fdb.deletions,
  ];
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
