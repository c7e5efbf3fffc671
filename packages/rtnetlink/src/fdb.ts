/** Forwarding database of bridges and of VXLAN devices (which peer has which MAC): `bridge fdb`. */
import { type Ip, ipToBytes } from '@flannel-ts/inet/ip';
import { type Mac, macFromBytes, macToBytes } from '@flannel-ts/inet/mac';
import { attribute, attributeU16, parseAttributes, readU16, readU32 } from './attributes.ts';
import type { Netlink, NetlinkRequest } from './connection.ts';
import * as c from './constants.ts';
import { isNetlinkError } from './errors.ts';
import { readIp } from './family.ts';
import { NLM_F_CREATE, NLM_F_REPLACE } from './message.ts';
import { encodeNeighbourHeader, NDMSG_LENGTH, parseNeighbourHeader } from './neighbour-header.ts';

export interface FdbEntry {
  readonly index: number;
  readonly mac: Mac;
  /** Of a VXLAN device: the peer to send to. */
  readonly dst: Ip | undefined;
  /** Of a bridge's port: the bridge. */
  readonly master: number | undefined;
  readonly vlan: number | undefined;
  /** NUD_*. */
  readonly state: number;
  /** NTF_*: NTF_SELF is in the device's own table, NTF_MASTER in the bridge's. */
  readonly flags: number;
}

export interface FdbSpec {
  readonly index: number;
  readonly mac: Mac;
  readonly dst?: Ip | undefined;
  readonly vlan?: number | undefined;
  /** NUD_PERMANENT by default. */
  readonly state?: number | undefined;
  /** NTF_SELF by default. */
  readonly flags?: number | undefined;
}

export type FdbKey = Pick<FdbSpec, 'index' | 'mac' | 'dst' | 'vlan' | 'flags'>;

/** `bridge fdb show` [`dev DEV`] */
export function listFdb(nl: Netlink, filter: { readonly index?: number | undefined } = {}): FdbEntry[] {
  const parts = [encodeNeighbourHeader({ family: c.AF_BRIDGE, index: filter.index ?? 0 })];
  const found: FdbEntry[] = [];
  for (const message of nl.dump({ type: c.RTM_GETNEIGH, parts, operation: 'list FDB entries' })) {
    const entry = parseFdbEntry(message.payload);
    if (entry && (filter.index === undefined || entry.index === filter.index)) found.push(entry);
  }
  return found;
}

/** `bridge fdb replace MAC dev DEV` [`dst IP`] `self permanent` */
export function replaceFdb(nl: Netlink, entry: FdbSpec): void {
  nl.request(replaceFdbRequest(entry));
}

/** For Netlink.requestAll(). */
export function replaceFdbRequest(entry: FdbSpec): NetlinkRequest {
  return {
    type: c.RTM_NEWNEIGH,
    flags: NLM_F_CREATE | NLM_F_REPLACE,
    parts: fdbParts(entry, entry.state ?? c.NUD_PERMANENT),
    operation: `replace FDB entry ${entry.mac} on link ${entry.index}`,
  };
}

/** `bridge fdb del MAC dev DEV` [`dst IP`] `self`. ENOENT if there is none. */
export function deleteFdb(nl: Netlink, entry: FdbKey): void {
  nl.request(deleteFdbRequest(entry));
}

/** For Netlink.requestAll(). */
export function deleteFdbRequest(entry: FdbKey): NetlinkRequest {
  return {
    type: c.RTM_DELNEIGH,
    parts: fdbParts(entry, c.NUD_PERMANENT),
    operation: `delete FDB entry ${entry.mac} on link ${entry.index}`,
  };
}

/** Deletes the entry if there is one. False if there was none, or no such link any more. */
export function ensureFdbAbsent(nl: Netlink, entry: FdbKey): boolean {
  try {
    deleteFdb(nl, entry);
    return true;
  } catch (error) {
    if (isNetlinkError(error, 'ENOENT', 'ENODEV')) return false;
    throw error;
  }
}

/** Reads the payload of RTM_NEWNEIGH and RTM_DELNEIGH; undefined if it is no FDB entry. */
export function parseFdbEntry(payload: Uint8Array): FdbEntry | undefined {
  const header = parseNeighbourHeader(payload);
  if (header.family !== c.AF_BRIDGE) return undefined;
  const attributes = parseAttributes(payload.subarray(NDMSG_LENGTH));
  const mac = attributes.get(c.NDA_LLADDR);
  if (mac?.length !== 6) return undefined;
  const dstLength = attributes.get(c.NDA_DST)?.length;
  return {
    index: header.index,
    mac: macFromBytes(mac),
    dst: dstLength === undefined ? undefined : readIp(attributes, c.NDA_DST, dstLength === 4 ? 4 : 6),
    master: readU32(attributes, c.NDA_MASTER),
    vlan: readU16(attributes, c.NDA_VLAN),
    state: header.state,
    flags: header.flags,
  };
}

function fdbParts(entry: FdbKey, state: number): Uint8Array[] {
  const { index, flags = c.NTF_SELF } = entry;
  const parts = [
    encodeNeighbourHeader({ family: c.AF_BRIDGE, index, state, flags }),
    attribute(c.NDA_LLADDR, macToBytes(entry.mac)),
  ];
  if (entry.dst !== undefined) parts.push(attribute(c.NDA_DST, ipToBytes(entry.dst)));
  if (entry.vlan !== undefined) parts.push(attributeU16(c.NDA_VLAN, entry.vlan));
  return parts;
}
