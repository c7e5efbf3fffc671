/**
 * Routes and rules of others that take packets for other nodes' pods. They may be meant, so that they are named and not touched: but
 * whoever looks for the packets should find them here. Pure.
 */
import { addressBits } from '@flannel-ts/inet/family';
import { formatIp, type Ip } from '@flannel-ts/inet/ip';
import { formatPrefix, type Prefix, prefixCovers, prefixesOverlap } from '@flannel-ts/inet/prefix';
import type { ActualRoute } from '../state/actual.ts';
import { deleteRouteCommand, describeRoute } from '../state/change.ts';

/** Where readiness knows it by. */
export const OTHER_ROUTES = 'other routes';

export interface PeerSubnet {
  readonly subnet: Prefix;
  readonly peer: Ip;
}

/** A rule by which packets for a peer are sent otherwise than the overlay would. */
export interface Detour extends PeerSubnet {
  /** As `ip rule` selects it; undefined: which one it is cannot be told. */
  readonly rule: { readonly priority: number } | undefined;
  /** Like `table 100, by eth1`. */
  readonly way: string;
}

export interface OtherRoutes {
  readonly trouble?: string;
  readonly remedy?: string;
  /** Of single addresses, which takes nothing from a node as a whole. */
  readonly note?: string;
}

interface Taken {
  readonly route: ActualRoute;
  readonly peer: PeerSubnet;
}

/** `ours`: destinations of the routes that the overlay itself has. */
export function judgeOtherRoutes(
  peers: readonly PeerSubnet[],
  ours: readonly Prefix[],
  foreign: readonly ActualRoute[],
  detours: readonly Detour[],
): OtherRoutes {
  const taken = foreign.flatMap((route): Taken[] => {
    const peer = peers.find(({ subnet }) => prefixesOverlap(route.dst, subnet) && isBefore(route, subnet, ours));
    return peer === undefined ? [] : [{ route, peer }];
  });
  const hosts = taken.filter(({ route }) => isHost(route.dst));
  const blocks = taken.filter(({ route }) => !isHost(route.dst));
  const troubles = [...blocks.map(ofRoute), ...detours.map(ofRule)];
  const notes = hosts.map(ofRoute);
  return {
    ...(troubles[0] !== undefined && { trouble: inShort(troubles), remedy: troubles[0].remedy }),
    ...(notes[0] !== undefined && {
      note: `${inShort(notes)}: unless it is meant, remove it with "${notes[0].remedy}"`,
    }),
  };
}

/** Whether a packet for the subnet takes the route, and not ours: the longest of the destinations counts. */
function isBefore({ dst }: ActualRoute, subnet: Prefix, ours: readonly Prefix[]): boolean {
  const lengths = ours.filter((own) => prefixCovers(own, subnet)).map(({ length }) => length);
  return lengths.every((length) => dst.length > length);
}

function isHost({ family, length }: Prefix): boolean {
  return length === addressBits(family);
}

interface Said {
  readonly sentence: string;
  readonly remedy: string;
}

function ofRoute({ route, peer }: Taken): Said {
  const part = prefixCovers(route.dst, peer.subnet) ? peer.subnet : route.dst;
  return {
    sentence: `packets for ${formatPrefix(part)} do not go to the node at ${formatIp(peer.peer)} but by a route that is not ours, ${describeRoute(route)} (protocol ${route.protocol})`,
    remedy: deleteRouteCommand(route),
  };
}

function ofRule({ subnet, peer, rule, way }: Detour): Said {
  const ip = subnet.family === 6 ? 'ip -6' : 'ip';
  const whose = rule === undefined ? 'a rule that is not ours' : `the rule ${rule.priority}, which is not ours`;
  return {
    sentence: `packets for ${formatPrefix(subnet)} do not go to the node at ${formatIp(peer)} but, by ${whose}, to ${way}`,
    remedy: rule === undefined ? `${ip} rule show` : `${ip} rule delete priority ${rule.priority}`,
  };
}

function inShort([first, ...more]: readonly Said[]): string {
  return `${first!.sentence}${more.length > 0 ? `; and ${more.length} more` : ''}`;
}
