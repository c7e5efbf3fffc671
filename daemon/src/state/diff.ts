/** What has to be done so that the kernel is as desired. Pure: values in, values out. */
import type { ActualState } from './actual.ts';
import type { Change } from './change.ts';
import type { DesiredState } from './desired.ts';
import { diffFdb, diffNeighbours } from './diff-entries.ts';
import { diffLinks, type ForeignLink } from './diff-links.ts';
import { type Conflict, diffRoutes } from './diff-routes.ts';
import type { Owner } from './owner.ts';

export interface Difference {
  /**
   * In the order to apply them: a route needs its device up, a gateway its address, and packets that find a route also need the
   * entries of their peer. What is taken away comes last, so that nothing is worse when only a part can be done.
   */
  readonly changes: readonly Change[];
  /** Routes of others in the place of ours: they stay. */
  readonly conflicts: readonly Conflict[];
  readonly foreignLinks: readonly ForeignLink[];
}

/** Devices of the data path that are missing are left out, and what needs them. */
export function diffState(desired: DesiredState, actual: ActualState, owner: Owner): Difference {
  const links = diffLinks(desired, actual);
  const fdb = diffFdb(desired, actual.fdb, links);
  const neighbours = diffNeighbours(desired, actual.neighbours, links);
  const routes = diffRoutes(desired, actual, links, owner);
  return {
    changes: [
      ...routes.guards,
      ...links.changes,
      ...fdb.set,
      ...neighbours.set,
      ...routes.set,
      ...routes.deletions,
      ...neighbours.deletions,
      ...fdb.deletions,
    ],
    conflicts: routes.conflicts,
    foreignLinks: links.foreign,
  };
}
