/** Single changes of the kernel's state, as values and in words. */
import { formatIp } from '@flannel-ts/inet/ip';
import { formatInterfaceAddress, formatPrefix, type InterfaceAddress } from '@flannel-ts/inet/prefix';
import type { DeviceChange } from '@flannel-ts/wireguard/device';
import { type ActualFdbEntry, type ActualNeighbour, type ActualRoute, defaultMetric } from './actual.ts';
import type { LinkSettings } from './compare-link.ts';
import type {
  DesiredFdbEntry,
  DesiredLink,
  DesiredNeighbour,
  DesiredRoute,
  IpipAttributes,
  VxlanAttributes,
  WireguardAttributes,
} from './desired.ts';
import { describeWireguardChange } from './wireguard.ts';

/** All but what the data path makes. */
export type KernelLink = DesiredLink & (VxlanAttributes | IpipAttributes | WireguardAttributes);

export type LinkChange =
  /** Made without addresses and down. */
  | { readonly type: 'add-link'; readonly link: KernelLink }
  /** Deleted and made again. */
  | { readonly type: 'remake-link'; readonly link: KernelLink; readonly reason: string }
  | { readonly type: 'set-link'; readonly link: string; readonly settings: LinkSettings }
  | {
      readonly type: 'set-wireguard';
      readonly link: string;
      readonly wanted: WireguardAttributes;
      readonly change: DeviceChange;
    }
  | { readonly type: 'add-address' | 'delete-address'; readonly link: string; readonly address: InterfaceAddress };

export type RouteChange =
  | { readonly type: 'add-route' | 'replace-route'; readonly route: DesiredRoute }
  | { readonly type: 'delete-route'; readonly route: ActualRoute };

export type EntryChange =
  | { readonly type: 'set-neighbour'; readonly entry: DesiredNeighbour }
  | { readonly type: 'delete-neighbour'; readonly entry: ActualNeighbour }
  | { readonly type: 'set-fdb'; readonly entry: DesiredFdbEntry }
  | { readonly type: 'delete-fdb'; readonly entry: ActualFdbEntry };

export type Change = LinkChange | RouteChange | EntryChange;

/** Name of the device that has to be there for it; undefined for routes that lead nowhere. */
export function deviceOf(change: Change): string | undefined {
  if ('entry' in change) return change.entry.link;
  if ('route' in change) return 'link' in change.route ? change.route.link : undefined;
  return typeof change.link === 'string' ? change.link : change.link.name;
}

/** For logs: what the equivalent command would be. */
export function describeChange(change: Change): string {
  switch (change.type) {
    case 'add-link':
      return `link add ${describeLink(change.link)}`;
    case 'remake-link':
      return `link delete and add ${describeLink(change.link)} (${change.reason})`;
    case 'set-link':
      return `link set ${change.link} ${describeSettings(change.settings)}`;
    case 'set-wireguard':
      return describeWireguardChange(change.link, change.change);
    case 'add-address':
    case 'delete-address':
      return `address ${verb(change.type)} ${formatInterfaceAddress(change.address)} dev ${change.link}`;
    case 'add-route':
    case 'replace-route':
    case 'delete-route':
      return `route ${verb(change.type)} ${describeRoute(change.route)}`;
    case 'set-neighbour':
    case 'delete-neighbour':
      return `neighbour ${verb(change.type)} ${describeNeighbour(change.entry)}`;
    case 'set-fdb':
    case 'delete-fdb':
      return `fdb ${verb(change.type)} ${describeFdbEntry(change.entry)}`;
  }
}

/** As `ip route` writes it. */
export function describeRoute(route: DesiredRoute | ActualRoute): string {
  const words = [formatPrefix(route.dst)];
  if (route.type !== 'unicast') words.unshift(route.type === 'other' ? 'multipath' : route.type);
  else {
    if (route.gateway !== undefined) words.push(`via ${formatIp(route.gateway)}`);
    if (route.link !== undefined) words.push(`dev ${route.link}`);
    if (route.onlink) words.push('onlink');
    if (route.scope === 'link') words.push('scope link');
  }
  if (metricOf(route) !== defaultMetric(route.dst)) words.push(`metric ${metricOf(route)}`);
  return words.join(' ');
}

/** Removes it, and no other one. */
export function deleteRouteCommand(route: ActualRoute): string {
  const ip = route.dst.family === 6 ? 'ip -6' : 'ip';
  return `${ip} route delete ${route.type === 'other' ? formatPrefix(route.dst) : describeRoute(route)}`;
}

export function metricOf(route: DesiredRoute | ActualRoute): number {
  return route.metric ?? defaultMetric(route.dst);
}

function describeLink(link: KernelLink): string {
  const words = [`${link.name} type ${link.kind}`];
  if (link.kind === 'vxlan') {
    words.push(`id ${link.vni} dev ${link.parent} local ${formatIp(link.local)} dstport ${link.port}`);
    words.push(link.learning ? 'learning' : 'nolearning');
    if (link.gbp) words.push('gbp');
  }
  if (link.kind === 'ipip') words.push(`local ${formatIp(link.local)}`);
  return words.join(' ');
}

function describeSettings(settings: LinkSettings): string {
  const { mtu, mac, up, arp, leave, queueLength, linkLocal, acceptRouterAdvertisements } = settings;
  const words: string[] = [];
  if (leave !== undefined) words.push(`nomaster (it was ${leave})`);
  if (arp) words.push('arp on');
  if (queueLength !== undefined) words.push(`txqueuelen ${queueLength}`);
  if (mtu !== undefined) words.push(`mtu ${mtu}`);
  if (mac !== undefined) words.push(`address ${mac}`);
  if (linkLocal !== undefined) words.push(`addrgenmode ${linkLocal}`);
  if (acceptRouterAdvertisements === false) words.push('accept_ra 0');
  if (up) words.push('up');
  return words.join(' ');
}

function describeNeighbour({ address, mac, link }: DesiredNeighbour | ActualNeighbour): string {
  return `${formatIp(address)}${mac === undefined ? '' : ` lladdr ${mac}`} dev ${link}`;
}

function describeFdbEntry({ mac, remote, link }: DesiredFdbEntry | ActualFdbEntry): string {
  return `${mac} dev ${link}${remote === undefined ? '' : ` dst ${formatIp(remote)}`}`;
}

function verb(type: string): string {
  return type.slice(0, type.indexOf('-'));
}
