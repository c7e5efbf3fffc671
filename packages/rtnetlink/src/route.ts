/**
 * Routes: `ip route`.
 * `struct rtmsg { u8 family, dst_len, src_len, tos, table, protocol, scope, type; u32 flags; }` and RTA_* (linux/rtnetlink.h).
 */
import { addressBits, type Family } from '@flannel-ts/inet/family';
import { familyOf, formatIp, type Ip, ipToBytes } from '@flannel-ts/inet/ip';
import { formatPrefix, type Prefix } from '@flannel-ts/inet/prefix';
import {
  type Attributes,
  attribute,
  attributeNested,
  attributeU32,
  parseAttributes,
  readNested,
  readU32,
  viewOf,
} from './attributes.ts';
import type { Netlink, NetlinkRequest } from './connection.ts';
import * as c from './constants.ts';
import { checkLength, isNetlinkError, NetlinkError } from './errors.ts';
import { addressFamily, familiesOf, familyFrom, ofFamily, readIp } from './family.ts';
import { NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE } from './message.ts';

const RTMSG_LENGTH = 12;
const RTNEXTHOP_LENGTH = 8; // struct rtnexthop { u16 len; u8 flags; u8 hops; s32 ifindex; }

export interface NextHop {
  readonly gateway: Ip | undefined;
  readonly outIndex: number;
  readonly onlink: boolean;
  readonly weight: number;
}

export interface Route {
  readonly family: Family;
  /** Undefined: the default route. */
  readonly dst: Prefix | undefined;
  readonly gateway: Ip | undefined;
  readonly outIndex: number | undefined;
  /** Preferred source address (`src`). */
  readonly source: Ip | undefined;
  /** Who added it: RTPROT_*, or a number of the program's own. */
  readonly protocol: number;
  readonly scope: number;
  readonly table: number;
  /** RTN_*: unicast, local, blackhole, ... */
  readonly type: number;
  readonly priority: number | undefined;
  readonly onlink: boolean;
  readonly mtu: number | undefined;
  readonly advmss: number | undefined;
  /** More than one entry: a multipath route, which has no `gateway` and `outIndex` of its own. */
  readonly nextHops: readonly NextHop[];
}

/** A route to add. A default route without a gateway needs `family`, if it is not IPv4. */
export interface RouteSpec {
  readonly family?: Family | undefined;
  readonly dst?: Prefix | undefined;
  readonly gateway?: Ip | undefined;
  readonly outIndex?: number | undefined;
  readonly source?: Ip | undefined;
  /** RTPROT_BOOT by default, as ip(8). A daemon that must recognize its own routes passes a number of its own. */
  readonly protocol?: number | undefined;
  /** By default link without a gateway, and universe with one, as ip(8). */
  readonly scope?: number | undefined;
  readonly table?: number | undefined;
  readonly type?: number | undefined;
  readonly priority?: number | undefined;
  /** The gateway is a neighbour on `outIndex` although no address there says so. */
  readonly onlink?: boolean | undefined;
  readonly mtu?: number | undefined;
  /** Segment size that TCP tells its peers. */
  readonly advmss?: number | undefined;
}

export interface RouteFilter {
  readonly family?: Family | undefined;
  readonly protocol?: number | undefined;
  /** RT_TABLE_MAIN by default; 0 for every table. */
  readonly table?: number | undefined;
  readonly outIndex?: number | undefined;
}

/** `ip` [`-6`] `route show` [`table T`] [`proto P`] [`dev DEV`], of both families by default; the kernel filters. */
export function listRoutes(nl: Netlink, filter: RouteFilter = {}): Route[] {
  return familiesOf(filter.family).flatMap((family) => listFamily(nl, family, filter));
}

function listFamily(nl: Netlink, family: Family, filter: RouteFilter): Route[] {
  const table = filter.table ?? c.RT_TABLE_MAIN;
  const header = encodeHeader({
    family,
    length: 0,
    table,
    protocol: filter.protocol ?? 0,
    scope: 0,
    type: 0,
    flags: 0,
  });
  const parts = [header, attributeU32(c.RTA_TABLE, table)];
  if (filter.outIndex !== undefined) parts.push(attributeU32(c.RTA_OIF, filter.outIndex));
  try {
    return ofFamily(nl.dump({ type: c.RTM_GETROUTE, parts, operation: 'list routes' }), family)
      .map((message) => parseRoute(message.payload))
      .filter((route) => matches(route, filter, table));
  } catch (error) {
    // A table without routes does not exist ("FIB table does not exist"), nor does a link that was deleted.
    if (isNetlinkError(error, 'ENOENT', 'ENODEV')) return [];
    throw error;
  }
}

/** `ip route add 10.5.52.0/24` [`via GATEWAY`] `dev DEV` [`onlink`] [`src IP`] [`proto P`]. EEXIST if there is one. */
export function addRoute(nl: Netlink, route: RouteSpec): void {
  nl.request(addRouteRequest(route));
}

/** For Netlink.requestAll(). */
export function addRouteRequest(route: RouteSpec): NetlinkRequest {
  return { ...routeRequest(route, 'add'), type: c.RTM_NEWROUTE, flags: NLM_F_CREATE | NLM_F_EXCL };
}

/**
 * `ip route append 10.5.52.0/24 via GATEWAY dev DEV`: beside what leads there already, behind it (IPv4) or as one more next hop (IPv6).
 * EEXIST if there is this very route.
 */
export function appendRoute(nl: Netlink, route: RouteSpec): void {
  nl.request({ ...routeRequest(route, 'append'), type: c.RTM_NEWROUTE, flags: NLM_F_CREATE | NLM_F_APPEND });
}

/**
 * `ip route replace 10.5.52.0/24 via GATEWAY dev DEV`: one atomic step, no packet in between finds no route. It replaces
 * the first route of the same destination, priority and table, whoever made it; check listRoutes() first if that matters.
 */
export function replaceRoute(nl: Netlink, route: RouteSpec): void {
  nl.request(replaceRouteRequest(route));
}

/** For Netlink.requestAll(). */
export function replaceRouteRequest(route: RouteSpec): NetlinkRequest {
  return { ...routeRequest(route, 'replace'), type: c.RTM_NEWROUTE, flags: NLM_F_CREATE | NLM_F_REPLACE };
}

/** `ip route del 10.5.52.0/24 ...`: the first route that has every given property. ESRCH if none has. */
export function deleteRoute(nl: Netlink, route: RouteSpec): void {
  nl.request(deleteRouteRequest(route));
}

/** For Netlink.requestAll(). */
export function deleteRouteRequest(route: RouteSpec): NetlinkRequest {
  // As ip(8) deletes: what is not given is a wildcard, and RT_SCOPE_NOWHERE is the wildcard of scopes.
  const wild = { protocol: route.protocol ?? 0, type: route.type ?? 0, scope: route.scope ?? c.RT_SCOPE_NOWHERE };
  return { ...routeRequest({ ...route, ...wild }, 'delete'), type: c.RTM_DELROUTE };
}

/** Deletes the route if there is one. False if there was none. */
export function ensureRouteAbsent(nl: Netlink, route: RouteSpec): boolean {
  try {
    deleteRoute(nl, route);
    return true;
  } catch (error) {
    // ENODEV: the link has gone, and the kernel removed its routes with it. ENOENT: no such table.
    if (isNetlinkError(error, 'ESRCH', 'ENODEV', 'ENOENT')) return false;
    throw error;
  }
}

/** `ip route get IP` [`from IP`]: the route that a packet to this address would use now. Unreachable networks are an error. */
export function lookUpRoute(nl: Netlink, ip: Ip, { from }: LookUpOptions = {}): Route | undefined {
  const family = familyOf(ip);
  const length = addressBits(family);
  const header = encodeHeader({
    family,
    length,
    table: 0,
    protocol: 0,
    scope: 0,
    type: 0,
    // Without it, an IPv4 route is said to be in the main table, wherever it is. IPv6 says it anyway, and refuses the flag.
    flags: family === 4 ? c.RTM_F_LOOKUP_TABLE : 0,
  });
  const parts = [header, attribute(c.RTA_DST, ipToBytes(ip))];
  if (from !== undefined) {
    header[2] = length;
    parts.push(attribute(c.RTA_SRC, ipToBytes(from)));
  }
  const [reply] = nl.request({
    type: c.RTM_GETROUTE,
    parts,
    operation: `look up the route to ${formatIp(ip)}`,
  });
  return reply && parseRoute(reply.payload);
}

export interface LookUpOptions {
  /** Source of the packet, an address of this host. */
  readonly from?: Ip | undefined;
}

/** `default`, or the destination as text. */
export function formatDestination(route: Pick<RouteSpec, 'dst'>): string {
  return route.dst ? formatPrefix(route.dst) : 'default';
}

/** Reads the payload of RTM_NEWROUTE and RTM_DELROUTE. */
export function parseRoute(payload: Uint8Array): Route {
  checkLength(payload, RTMSG_LENGTH, 'read a route');
  const view = viewOf(payload);
  const family = familyFrom(view.getUint8(0));
  const attributes = parseAttributes(payload.subarray(RTMSG_LENGTH));
  const flags = view.getUint32(8, true);
  const gateway = readIp(attributes, c.RTA_GATEWAY, family);
  const outIndex = readU32(attributes, c.RTA_OIF);
  const onlink = (flags & c.RTNH_F_ONLINK) !== 0;
  const single = outIndex === undefined ? [] : [{ gateway, outIndex, onlink, weight: 1 }];
  return {
    family,
    dst: parseDestination(attributes, family, view.getUint8(1)),
    gateway,
    outIndex,
    source: readIp(attributes, c.RTA_PREFSRC, family),
    protocol: view.getUint8(5),
    scope: view.getUint8(6),
    // The byte in the header holds only tables below 256; RTA_TABLE holds every one.
    table: readU32(attributes, c.RTA_TABLE) ?? view.getUint8(4),
    type: view.getUint8(7),
    priority: readU32(attributes, c.RTA_PRIORITY),
    onlink,
    mtu: readU32(readNested(attributes, c.RTA_METRICS), c.RTAX_MTU),
    advmss: readU32(readNested(attributes, c.RTA_METRICS), c.RTAX_ADVMSS),
    nextHops: attributes.has(c.RTA_MULTIPATH) ? parseNextHops(attributes.get(c.RTA_MULTIPATH)!, family) : single,
  };
}

function parseDestination(attributes: Attributes, family: Family, length: number): Prefix | undefined {
  const base = readIp(attributes, c.RTA_DST, family);
  return base === undefined ? undefined : ({ family, base, length } as Prefix);
}

function parseNextHops(bytes: Uint8Array, family: Family): NextHop[] {
  const view = viewOf(bytes);
  const hops: NextHop[] = [];
  for (let offset = 0; bytes.length - offset >= RTNEXTHOP_LENGTH; ) {
    const length = view.getUint16(offset, true);
    if (length < RTNEXTHOP_LENGTH || length > bytes.length - offset) {
      throw new NetlinkError('EBADMSG', 'read a route', `next hop at byte ${offset} has length ${length}`);
    }
    const attributes = parseAttributes(bytes.subarray(offset + RTNEXTHOP_LENGTH, offset + length));
    hops.push({
      gateway: readIp(attributes, c.RTA_GATEWAY, family),
      outIndex: view.getInt32(offset + 4, true),
      onlink: (view.getUint8(offset + 2) & c.RTNH_F_ONLINK) !== 0,
      weight: view.getUint8(offset + 3) + 1,
    });
    offset += (length + 3) & ~3;
  }
  return hops;
}

function matches(route: Route, filter: RouteFilter, table: number): boolean {
  return (
    (table === c.RT_TABLE_UNSPEC || route.table === table) &&
    (filter.protocol === undefined || route.protocol === filter.protocol) &&
    (filter.outIndex === undefined || route.nextHops.some((hop) => hop.outIndex === filter.outIndex))
  );
}

function routeRequest(route: RouteSpec, verb: string): { parts: Uint8Array[]; operation: string } {
  const family = routeFamily(route);
  const table = route.table ?? c.RT_TABLE_MAIN;
  const parts = [
    encodeHeader({
      family,
      length: route.dst?.length ?? 0,
      table,
      protocol: route.protocol ?? c.RTPROT_BOOT,
      scope: route.scope ?? defaultScope(route, family),
      type: route.type ?? c.RTN_UNICAST,
      flags: route.onlink ? c.RTNH_F_ONLINK : 0,
    }),
    attributeU32(c.RTA_TABLE, table),
  ];
  if (route.dst !== undefined) parts.push(attribute(c.RTA_DST, ipToBytes(route.dst.base)));
  if (route.gateway !== undefined) parts.push(attribute(c.RTA_GATEWAY, ipToBytes(route.gateway)));
  if (route.outIndex !== undefined) parts.push(attributeU32(c.RTA_OIF, route.outIndex));
  if (route.source !== undefined) parts.push(attribute(c.RTA_PREFSRC, ipToBytes(route.source)));
  if (route.priority !== undefined) parts.push(attributeU32(c.RTA_PRIORITY, route.priority));
  const metrics: Uint8Array[] = [];
  if (route.mtu !== undefined) metrics.push(attributeU32(c.RTAX_MTU, route.mtu));
  if (route.advmss !== undefined) metrics.push(attributeU32(c.RTAX_ADVMSS, route.advmss));
  if (metrics.length > 0) parts.push(attributeNested(c.RTA_METRICS, metrics));
  return { parts, operation: `${verb} route ${describe(route)}` };
}

function describe(route: RouteSpec): string {
  const via = route.gateway === undefined ? '' : ` via ${formatIp(route.gateway)}`;
  const on = route.outIndex === undefined ? '' : ` on link ${route.outIndex}`;
  return `${formatDestination(route)}${via}${on}`;
}

function routeFamily(route: RouteSpec): Family {
  const ip = route.dst?.base ?? route.gateway ?? route.source;
  return route.family ?? (ip === undefined ? 4 : familyOf(ip));
}

/** IPv6 has no scopes: they are always universe. */
function defaultScope(route: RouteSpec, family: Family): number {
  if (route.type === c.RTN_LOCAL && family === 4) return c.RT_SCOPE_HOST;
  const direct = route.gateway === undefined && (route.type ?? c.RTN_UNICAST) === c.RTN_UNICAST;
  return direct && family === 4 ? c.RT_SCOPE_LINK : c.RT_SCOPE_UNIVERSE;
}

interface RouteHeader {
  readonly family: Family;
  readonly length: number;
  readonly table: number;
  readonly protocol: number;
  readonly scope: number;
  readonly type: number;
  readonly flags: number;
}

function encodeHeader(header: RouteHeader): Uint8Array {
  const { family, length, table, protocol, scope, type, flags } = header;
  // Tables above 255 are named by RTA_TABLE alone.
  const shortTable = table > 255 ? c.RT_TABLE_UNSPEC : table;
  const bytes = Uint8Array.of(addressFamily(family), length, 0, 0, shortTable, protocol, scope, type, 0, 0, 0, 0);
  viewOf(bytes).setUint32(8, flags, true);
  return bytes;
}
