/** Neighbours, the ARP and NDP table: `ip neighbour`. */
import type { Family } from '@flannel-ts/inet/family';
import { familyOf, formatIp, type Ip, ipToBytes } from '@flannel-ts/inet/ip';
import { type Mac, macFromBytes, macToBytes } from '@flannel-ts/inet/mac';
import { attribute, attributeU32, parseAttributes } from './attributes.ts';
import type { Netlink, NetlinkRequest } from './connection.ts';
import * as c from './constants.ts';
import { isNetlinkError } from './errors.ts';
import { addressFamily, familiesOf, familyFrom, ofFamily, readIp } from './family.ts';
import { NLM_F_CREATE, NLM_F_REPLACE } from './message.ts';
import { encodeNeighbourHeader, NDMSG_LENGTH, parseNeighbourHeader } from './neighbour-header.ts';

export interface Neighbour {
  readonly family: Family;
  readonly index: number;
  readonly address: Ip;
  /** Undefined while it is not resolved. */
  readonly mac: Mac | undefined;
  /** NUD_*. */
  readonly state: number;
  /** NTF_*. */
  readonly flags: number;
}

export interface NeighbourSpec {
  readonly index: number;
  readonly address: Ip;
  readonly mac: Mac;
  /** NUD_PERMANENT by default. */
  readonly state?: number | undefined;
}

export interface NeighbourFilter {
  readonly family?: Family | undefined;
  readonly index?: number | undefined;
}

/** `ip` [`-6`] `neighbour show` [`dev DEV`], in every state, of both families by default. */
export function listNeighbours(nl: Netlink, filter: NeighbourFilter = {}): Neighbour[] {
  return familiesOf(filter.family).flatMap((family) => listFamily(nl, family, filter.index));
}

function listFamily(nl: Netlink, family: Family, index: number | undefined): Neighbour[] {
  const parts = [encodeNeighbourHeader({ family: addressFamily(family) })];
  if (index !== undefined) parts.push(attributeU32(c.NDA_IFINDEX, index));
  const found: Neighbour[] = [];
  const answers = nl.dump({ type: c.RTM_GETNEIGH, parts, operation: 'list neighbours' });
  for (const message of ofFamily(answers, family)) {
    const neighbour = parseNeighbour(message.payload);
    if (neighbour && (index === undefined || neighbour.index === index)) found.push(neighbour);
  }
  return found;
}

/** `ip neighbour replace IP lladdr MAC dev DEV nud permanent` */
export function replaceNeighbour(nl: Netlink, neighbour: NeighbourSpec): void {
  nl.request(replaceNeighbourRequest(neighbour));
}

/** For Netlink.requestAll(). */
export function replaceNeighbourRequest(neighbour: NeighbourSpec): NetlinkRequest {
  return {
    type: c.RTM_NEWNEIGH,
    flags: NLM_F_CREATE | NLM_F_REPLACE,
    parts: [
      encodeNeighbourHeader({
        family: addressFamily(familyOf(neighbour.address)),
        index: neighbour.index,
        state: neighbour.state ?? c.NUD_PERMANENT,
      }),
      attribute(c.NDA_DST, ipToBytes(neighbour.address)),
      attribute(c.NDA_LLADDR, macToBytes(neighbour.mac)),
    ],
    operation: `replace neighbour ${formatIp(neighbour.address)} on link ${neighbour.index}`,
  };
}

/** `ip neighbour del IP dev DEV`. ENOENT if there is none. */
export function deleteNeighbour(nl: Netlink, neighbour: Pick<NeighbourSpec, 'index' | 'address'>): void {
  nl.request(deleteNeighbourRequest(neighbour));
}

/** For Netlink.requestAll(). */
export function deleteNeighbourRequest({ index, address }: Pick<NeighbourSpec, 'index' | 'address'>): NetlinkRequest {
  return {
    type: c.RTM_DELNEIGH,
    parts: [
      encodeNeighbourHeader({ family: addressFamily(familyOf(address)), index }),
      attribute(c.NDA_DST, ipToBytes(address)),
    ],
    operation: `delete neighbour ${formatIp(address)} on link ${index}`,
  };
}

/** Deletes the neighbour if there is one. False if there was none, or no such link any more. */
export function ensureNeighbourAbsent(nl: Netlink, neighbour: Pick<NeighbourSpec, 'index' | 'address'>): boolean {
  try {
    deleteNeighbour(nl, neighbour);
    return true;
  } catch (error) {
    if (isNetlinkError(error, 'ENOENT', 'ENODEV')) return false;
    throw error;
  }
}

/** Reads the payload of RTM_NEWNEIGH and RTM_DELNEIGH; undefined if it has no IP address (an FDB entry). */
export function parseNeighbour(payload: Uint8Array): Neighbour | undefined {
  const header = parseNeighbourHeader(payload);
  if (header.family !== c.AF_INET && header.family !== c.AF_INET6) return undefined;
  const family = familyFrom(header.family);
  const attributes = parseAttributes(payload.subarray(NDMSG_LENGTH));
  const address = readIp(attributes, c.NDA_DST, family);
  if (address === undefined) return undefined;
  const mac = attributes.get(c.NDA_LLADDR);
  return {
    family,
    index: header.index,
    address,
    mac: mac?.length === 6 ? macFromBytes(mac) : undefined,
    state: header.state,
    flags: header.flags,
  };
}
