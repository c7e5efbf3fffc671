/** Links: `ip link`. How links come into being is in link-add.ts. */
import { type Mac, macToBytes } from '@flannel-ts/inet/mac';
import { withNetnsFd } from '@flannel-ts/linux/enter-netns';
import type { Fd } from '@flannel-ts/linux/files';
import { attribute, attributeNested, attributeString, attributeU8, attributeU32 } from './attributes.ts';
import type { Netlink } from './connection.ts';
import * as c from './constants.ts';
import { isNetlinkError } from './errors.ts';
import {
  type AddressGeneration,
  encodeAddressGeneration,
  encodeLinkHeader,
  type Link,
  parseLink,
} from './link-codec.ts';
import { checkLinkName } from './link-name.ts';

export type {
  AddressGeneration,
  BridgeData,
  BridgePort,
  IpipData,
  Link,
  LinkData,
  OperState,
  TunData,
  VxlanData,
} from './link-codec.ts';

export interface LinkChange {
  readonly up?: boolean | undefined;
  readonly mtu?: number | undefined;
  /** Index of the bridge to become a port of; 0 leaves it. */
  readonly master?: number | undefined;
  readonly name?: string | undefined;
  readonly mac?: Mac | undefined;
  /** The namespace to move to, by path or descriptor. Addresses and routes of the link are lost, and it is down there. */
  readonly netns?: string | Fd | undefined;
  readonly txQueueLength?: number | undefined;
  /** What people and programs note about it, up to 255 bytes. */
  readonly alias?: string | undefined;
  readonly gsoMaxSize?: number | undefined;
  readonly gsoMaxSegments?: number | undefined;
  readonly promiscuous?: boolean | undefined;
  readonly arp?: boolean | undefined;
  /** EAFNOSUPPORT if the link has no IPv6. What addresses there are stay. */
  readonly addressGeneration?: AddressGeneration | undefined;
}

export interface BridgePortChange {
  readonly hairpin?: boolean | undefined;
  readonly isolated?: boolean | undefined;
  readonly learning?: boolean | undefined;
}

/** `ip link show dev NAME`: asks for this one link, without a dump. Undefined if there is none. */
export function getLink(nl: Netlink, nameOrIndex: string | number): Link | undefined {
  const operation = `get link ${nameOrIndex}`;
  const byName = typeof nameOrIndex === 'string';
  if (byName) checkLinkName(nameOrIndex, operation);
  try {
    const [reply] = nl.request({
      type: c.RTM_GETLINK,
      parts: [
        encodeLinkHeader({ index: byName ? 0 : nameOrIndex }),
        ...(byName ? [attributeString(c.IFLA_IFNAME, nameOrIndex)] : []),
        attributeU32(c.IFLA_EXT_MASK, c.RTEXT_FILTER_SKIP_STATS),
      ],
      operation,
    });
    return reply && parseLink(reply.payload);
  } catch (error) {
    if (isNetlinkError(error, 'ENODEV')) return undefined;
    throw error;
  }
}

/** `ip link show` [`master BRIDGE`] [`type KIND`]; the kernel filters. */
export function listLinks(nl: Netlink, filter: { readonly master?: number; readonly kind?: string } = {}): Link[] {
  const parts = [encodeLinkHeader({}), attributeU32(c.IFLA_EXT_MASK, c.RTEXT_FILTER_SKIP_STATS)];
  if (filter.master !== undefined) parts.push(attributeU32(c.IFLA_MASTER, filter.master));
  if (filter.kind !== undefined) {
    parts.push(attributeNested(c.IFLA_LINKINFO, [attributeString(c.IFLA_INFO_KIND, filter.kind)]));
  }
  return (
    nl
      .dump({ type: c.RTM_GETLINK, parts, operation: 'list links' })
      .map((message) => parseLink(message.payload))
      // A kind whose module is not loaded is no filter for the kernel (rtnl_dump_ifinfo): it sends every link then.
      .filter((link) => filter.kind === undefined || link.kind === filter.kind)
  );
}

/** `ip link set dev DEV` [`up`|`down`] [`mtu N`] [`master BRIDGE`] [`name NEW`] [`address MAC`] [`netns NS`] ... in one request. */
export function setLink(nl: Netlink, index: number, change: LinkChange): void {
  const operation = `change link ${index}${describe(change)}`;
  const attributes: Uint8Array[] = [];
  if (change.mtu !== undefined) attributes.push(attributeU32(c.IFLA_MTU, change.mtu));
  if (change.master !== undefined) attributes.push(attributeU32(c.IFLA_MASTER, change.master));
  if (change.name !== undefined) {
    checkLinkName(change.name, operation);
    attributes.push(attributeString(c.IFLA_IFNAME, change.name));
  }
  if (change.alias !== undefined) attributes.push(attribute(c.IFLA_IFALIAS, new TextEncoder().encode(change.alias)));
  if (change.mac !== undefined) attributes.push(attribute(c.IFLA_ADDRESS, macToBytes(change.mac)));
  if (change.txQueueLength !== undefined) attributes.push(attributeU32(c.IFLA_TXQLEN, change.txQueueLength));
  if (change.gsoMaxSize !== undefined) attributes.push(attributeU32(c.IFLA_GSO_MAX_SIZE, change.gsoMaxSize));
  if (change.gsoMaxSegments !== undefined) attributes.push(attributeU32(c.IFLA_GSO_MAX_SEGS, change.gsoMaxSegments));
  if (change.addressGeneration !== undefined) attributes.push(encodeAddressGeneration(change.addressGeneration));
  const wanted: readonly (readonly [number, boolean | undefined])[] = [
    [c.IFF_UP, change.up],
    [c.IFF_PROMISC, change.promiscuous],
    [c.IFF_NOARP, change.arp === undefined ? undefined : !change.arp],
  ];
  const flags = wanted.reduce((bits, [bit, on]) => (on ? bits | bit : bits), 0);
  const mask = wanted.reduce((bits, [bit, on]) => (on === undefined ? bits : bits | bit), 0);
  const send = (netnsFd: readonly Uint8Array[]): void => {
    nl.request({
      // RTM_NEWLINK without NLM_F_CREATE changes an existing link, like RTM_SETLINK; iproute2 sends this one too.
      type: c.RTM_NEWLINK,
      parts: [encodeLinkHeader({ index, flags, change: mask }), ...netnsFd, ...attributes],
      operation,
    });
  };
  if (change.netns === undefined) send([]);
  else withNetnsFd(change.netns, (fd) => send([attributeU32(c.IFLA_NET_NS_FD, fd)]));
}

/** `ip link set dev DEV type bridge_slave` [`hairpin on`] [`isolated on`] [`learning off`], for a port of a bridge. */
export function setBridgePort(nl: Netlink, index: number, change: BridgePortChange): void {
  const port: Uint8Array[] = [];
  if (change.hairpin !== undefined) port.push(attributeU8(c.IFLA_BRPORT_MODE, Number(change.hairpin)));
  if (change.isolated !== undefined) port.push(attributeU8(c.IFLA_BRPORT_ISOLATED, Number(change.isolated)));
  if (change.learning !== undefined) port.push(attributeU8(c.IFLA_BRPORT_LEARNING, Number(change.learning)));
  nl.request({
    type: c.RTM_SETLINK,
    parts: [encodeLinkHeader({ family: c.AF_BRIDGE, index }), attributeNested(c.IFLA_PROTINFO, port)],
    operation: `change bridge port ${index}${describe(change)}`,
  });
}

/** `bridge link set dev DEV hairpin on|off`: whether a packet may leave by the port it came in by. */
export function setHairpin(nl: Netlink, index: number, on: boolean): void {
  setBridgePort(nl, index, { hairpin: on });
}

/** `ip link del dev DEV`. Deleting one end of a veth pair deletes the other. */
export function deleteLink(nl: Netlink, index: number): void {
  nl.request({ type: c.RTM_DELLINK, parts: [encodeLinkHeader({ index })], operation: `delete link ${index}` });
}

/** Deletes the link if there is one. False if there was none, or if somebody else was faster. */
export function ensureLinkAbsent(nl: Netlink, nameOrIndex: string | number): boolean {
  const link = getLink(nl, nameOrIndex);
  if (!link) return false;
  try {
    deleteLink(nl, link.index);
    return true;
  } catch (error) {
    if (isNetlinkError(error, 'ENODEV')) return false;
    throw error;
  }
}

/** What is to change, for the error: ` (mtu 1400, up true)`. */
function describe(change: LinkChange | BridgePortChange): string {
  const given = Object.entries(change).filter(([, value]) => value !== undefined);
  return given.length === 0 ? '' : ` (${given.map(([name, value]) => `${name} ${value}`).join(', ')})`;
}
