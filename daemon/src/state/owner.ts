/**
 * What may be changed and deleted on this node. Several networks, each with a flanneld of its own, can share a host, and so do
 * routes of the operator: a protocol number alone says too little.
 */
import { RTPROT_FLANNEL } from '@flannel-ts/flannel/defaults';
import { type Prefix, prefixCovers } from '@flannel-ts/inet/prefix';
import { RTPROT_BOOT } from '@flannel-ts/rtnetlink/constants';
import type { ActualRoute } from './actual.ts';
import { guardMetric } from './guard.ts';

export interface Owner {
  /** The network of each family, and those that this node was in before. */
  readonly networks: readonly Prefix[];
}

/** `links`: names of our devices. */
export function owns({ networks }: Owner, route: ActualRoute, links: ReadonlySet<string>): boolean {
  const around = networks.filter((network) => prefixCovers(network, route.dst));
  if (around.length === 0) return false;
  if (route.protocol !== RTPROT_FLANNEL) return isOfFlannelsVxlan(route, links);
  if (route.type === 'unreachable') return around.some((network) => guardMetric(network) === route.metric);
  if (route.type === 'blackhole') return route.metric === guardMetric(route.dst);
  // By a device of the name but not ours: that of another flanneld on this host.
  return route.link === undefined || links.has(route.link) || !isFlannelDevice(route.link);
}

/** In the form that flannel gives them, by a device that it shares with this flanneld (backend/vxlan/vxlan_network.go). */
function isOfFlannelsVxlan({ protocol, type, link, gateway, dst }: ActualRoute, links: ReadonlySet<string>): boolean {
  return (
    protocol === RTPROT_BOOT && type === 'unicast' && gateway === dst.base && link !== undefined && links.has(link)
  );
}

function isFlannelDevice(name: string): boolean {
  return name.startsWith('flannel');
}
