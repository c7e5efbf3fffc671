/** Looks for routes and rules of others in the way of the overlay's packets, after changes of the kernel and every few seconds. */
import { isDeepStrictEqual } from 'node:util';
import { familyOf, type Ip } from '@flannel-ts/inet/ip';
import { addressAt, type Prefix, prefixContains, prefixCovers, prefixesOverlap } from '@flannel-ts/inet/prefix';
import type { Netlink } from '@flannel-ts/rtnetlink/connection';
import { RT_TABLE_MAIN, RTN_UNICAST } from '@flannel-ts/rtnetlink/constants';
import { isNetlinkError } from '@flannel-ts/rtnetlink/errors';
import { getLink } from '@flannel-ts/rtnetlink/link';
import { listRoutes, lookUpRoute, type Route } from '@flannel-ts/rtnetlink/route';
import { listRules, type Rule } from '@flannel-ts/rtnetlink/rule';
import { Bell } from '../abort.ts';
import type { ActualRoute } from '../state/actual.ts';
import { type Detour, judgeOtherRoutes, OTHER_ROUTES, type PeerSubnet } from './other-routes.ts';
import type { Readiness } from './readiness.ts';

export interface Wanted {
  readonly peers: readonly PeerSubnet[];
  /** Destinations of our routes, and by which device each leads; undefined: to nowhere. */
  readonly routes: readonly { readonly dst: Prefix; readonly link?: string }[];
  /** Of this node. */
  readonly subnets: readonly Prefix[];
  /** Every one of this host. */
  readonly addresses: readonly Ip[];
}

export interface WatchParts {
  readonly nl: Netlink;
  readonly wanted: () => Wanted;
  readonly foreign: ForeignRoutes;
  readonly onKernelEvent: (listener: () => void) => () => void;
  readonly readiness: Readiness;
}

/** Routes of others inside the networks, as the last comparison of all routes has found them. */
export class ForeignRoutes {
  private routes: readonly ActualRoute[] = [];
  private readonly bell = new Bell();

  get found(): readonly ActualRoute[] {
    return this.routes;
  }

  set(routes: readonly ActualRoute[]): void {
    if (isDeepStrictEqual(routes, this.routes)) return;
    this.routes = routes;
    this.bell.ring();
  }

  /** Something else has changed that matters. */
  look(): void {
    this.bell.ring();
  }

  /** For a change, at most for this long. */
  async wait(ms: number, signal: AbortSignal): Promise<void> {
    await this.bell.wait(ms, signal);
  }
}

const EVERY_MS = 5000;
/** A look-up takes some 25 µs. */
const MOST_LOOK_UPS = 200;
/** Of every host: local, main and default. */
const USUAL_PRIORITIES = [0, 32766, 32767];

export async function watchOtherRoutes(parts: WatchParts, signal: AbortSignal): Promise<void> {
  const { wanted, foreign, readiness } = parts;
  const unsubscribe = parts.onKernelEvent(() => foreign.look());
  try {
    while (!signal.aborted) {
      const now = wanted();
      const ours = now.routes.flatMap(({ dst, link }) => (link === undefined ? [] : [dst]));
      const detours = findDetours(parts.nl, now);
      const { trouble, remedy, note } = judgeOtherRoutes(now.peers, ours, foreign.found, detours);
      readiness.report(OTHER_ROUTES, trouble, remedy);
      readiness.note(OTHER_ROUTES, note);
      await foreign.wait(EVERY_MS, signal);
    }
  } finally {
    unsubscribe();
  }
}

/** Only where there are rules that not every host has: without them the main table alone decides, which is compared anyway. */
function findDetours(nl: Netlink, { peers, routes, subnets, addresses }: Wanted): Detour[] {
  const rules = listRules(nl).filter(({ priority }) => !USUAL_PRIORITIES.includes(priority));
  if (rules.length === 0) return [];
  const concerned = peers.filter(({ subnet }) =>
    rules.some(({ family, to }) => family === subnet.family && (to === undefined || prefixesOverlap(to, subnet))),
  );
  let main: readonly Route[] | undefined; // read when somebody asks, since it has a route for each peer with some backends
  const isRouted = (subnet: Prefix): boolean => {
    main ??= listRoutes(nl);
    return main.some(({ dst, type }) => type === RTN_UNICAST && dst !== undefined && prefixCovers(dst, subnet));
  };
  return concerned.slice(0, MOST_LOOK_UPS).flatMap((peer) => {
    const own = subnets.find(({ family }) => family === peer.subnet.family);
    const link = routes.find(({ dst, link: by }) => by !== undefined && prefixesOverlap(dst, peer.subnet))?.link;
    if (own === undefined || link === undefined) return [];
    const from = addresses.find((address) => prefixContains(own, address));
    const way = wayOf(nl, peer.subnet, link, from, isRouted);
    if (way === undefined) return [];
    const { table } = way;
    const of = rules.filter((each) => table === undefined || each.table === table);
    const rule = of.find((each) => isAbout(each, peer.subnet, own)) ?? (table === undefined ? undefined : of[0]);
    return [{ ...peer, rule, way: way.text }];
  });
}

/** Undefined: by the device that it should be, or the main table has no route now, which is looked after elsewhere. `isRouted`: by the main table. */
function wayOf(
  nl: Netlink,
  subnet: Prefix,
  link: string,
  from: Ip | undefined,
  isRouted: (subnet: Prefix) => boolean,
): { readonly table: number | undefined; readonly text: string } | undefined {
  // The first pod's, behind the bridge's.
  const pod: Ip = addressAt(subnet, 2);
  let route: Route | undefined;
  try {
    route = lookUpRoute(nl, pod, from !== undefined && familyOf(from) === subnet.family ? { from } : {});
  } catch (error) {
    // A rule or a table of others that refuses. EHOSTUNREACH is also what our own unreachable route says while the one before it is missing.
    const nowhere = { table: undefined, text: 'nowhere' };
    if (isNetlinkError(error, 'ENETUNREACH', 'EACCES', 'EINVAL')) return nowhere;
    if (isNetlinkError(error, 'EHOSTUNREACH')) return isRouted(subnet) ? nowhere : undefined;
    if (isNetlinkError(error, 'ENETDOWN', 'ENODEV')) return undefined;
    throw error;
  }
  if (route === undefined || route.table === RT_TABLE_MAIN || route.outIndex === undefined) return undefined;
  const name = getLink(nl, route.outIndex)?.name;
  return name === link ? undefined : { table: route.table, text: `table ${route.table}, by ${name}` };
}

function isAbout({ family, from, to, input, mark, inverted }: Rule, subnet: Prefix, own: Prefix): boolean {
  return (
    family === subnet.family &&
    !inverted &&
    input === undefined &&
    mark === undefined &&
    (to === undefined || prefixesOverlap(to, subnet)) &&
    (from === undefined || prefixesOverlap(from, own))
  );
}
