/** What has to be done so that the kernel is as desired. Pure: values in, values out. */
import { formatIp, type Ip } from '@flannel-ts/inet/ip';
import {
  formatInterfaceAddress,
  formatPrefix,
  type InterfaceAddress,
  type Prefix,
  sameInterfaceAddress,
  samePrefix,
} from '@flannel-ts/inet/prefix';
import type { DesiredLink, DesiredRoute, DesiredState } from './desired.ts';

export interface ActualLink {
  readonly name: string;
  readonly index: number;
  readonly mtu: number;
  readonly up: boolean;
  readonly addresses: readonly InterfaceAddress[];
}

/** A route in the main table with our protocol id, as far as it is one that we make. */
export interface ActualRoute {
  readonly dst: Prefix;
  /** Undefined for what we never make: a blackhole, several next hops. */
  readonly link: string | undefined;
  readonly gateway?: Ip;
  /** 0 when it is the kernel's default for the family. */
  readonly priority: number;
}

export interface ActualState {
  readonly links: readonly ActualLink[];
  readonly routes: readonly ActualRoute[];
}

export type Change =
  | { readonly type: 'set-link'; readonly link: string; readonly mtu?: number; readonly up?: true }
  | { readonly type: 'add-address' | 'delete-address'; readonly link: string; readonly address: InterfaceAddress }
  | { readonly type: 'replace-route'; readonly route: DesiredRoute }
  | { readonly type: 'delete-route'; readonly route: ActualRoute };

/** In the order to apply them: a route needs its device up, a gateway its address. Devices that are missing are left out. */
export function diffState(desired: DesiredState, actual: ActualState): Change[] {
  const links = new Map(actual.links.map((link) => [link.name, link]));
  const present = desired.links.filter((link) => links.has(link.name));
  return [
    ...actual.routes
      .filter((route) => isSurplus(route, desired.routes))
      .map((route): Change => ({ type: 'delete-route', route })),
    ...present.flatMap((link) => diffLink(link, links.get(link.name)!)),
    ...desired.routes
      .filter((route) => links.has(route.link) || !desired.links.some((link) => link.name === route.link))
      .filter((route) => !actual.routes.some((there) => sameRoute(there, route)))
      .map((route): Change => ({ type: 'replace-route', route })),
  ];
}

/** Devices that have to be made first. */
export function missingLinks(desired: DesiredState, actual: ActualState): DesiredLink[] {
  const names = new Set(actual.links.map((link) => link.name));
  return desired.links.filter(({ name }) => !names.has(name));
}

/** For logs: what the equivalent command would be. */
export function describeChange(change: Change): string {
  switch (change.type) {
    case 'set-link':
      return `link set ${change.link}${change.mtu === undefined ? '' : ` mtu ${change.mtu}`}${change.up ? ' up' : ''}`;
    case 'add-address':
    case 'delete-address':
      return `address ${verb(change.type)} ${formatInterfaceAddress(change.address)} dev ${change.link}`;
    case 'replace-route':
    case 'delete-route': {
      const { dst, link, gateway } = change.route;
      const via = gateway === undefined ? '' : ` via ${formatIp(gateway)}`;
      return `route ${verb(change.type)} ${formatPrefix(dst)}${via}${link === undefined ? '' : ` dev ${link}`}`;
    }
  }
}

function verb(type: string): string {
  return type.slice(0, type.indexOf('-'));
}

function diffLink(wanted: DesiredLink, there: ActualLink): Change[] {
  const changes: Change[] = [];
  const mtu = there.mtu === wanted.mtu ? {} : { mtu: wanted.mtu };
  const up = there.up ? {} : ({ up: true } as const);
  const missing = wanted.addresses.filter(
    (address) => !there.addresses.some((other) => sameInterfaceAddress(address, other)),
  );
  const surplus = there.addresses.filter(
    (address) => !wanted.addresses.some((other) => sameInterfaceAddress(address, other)),
  );
  // The new one first: with the last address of a device its routes go, too.
  for (const address of missing) changes.push({ type: 'add-address', link: wanted.name, address });
  for (const address of surplus) changes.push({ type: 'delete-address', link: wanted.name, address });
  if (there.mtu !== wanted.mtu || !there.up) changes.push({ type: 'set-link', link: wanted.name, ...mtu, ...up });
  return changes;
}

/** Of a wanted destination only another priority is surplus: everything else is put right by replacing. */
function isSurplus(there: ActualRoute, wanted: readonly DesiredRoute[]): boolean {
  return there.priority !== 0 || !wanted.some((route) => samePrefix(route.dst, there.dst));
}

function sameRoute(there: ActualRoute, wanted: DesiredRoute): boolean {
  return (
    there.priority === 0 &&
    samePrefix(there.dst, wanted.dst) &&
    there.link === wanted.link &&
    there.gateway === wanted.gateway
  );
}
