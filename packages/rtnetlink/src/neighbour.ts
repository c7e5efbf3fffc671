/** Neighbours, the ARP and NDP table: `ip neighbour`. */
import type { Ipv4 } from '@flannel-ts/inet/ipv4';
import type { Ipv6 } from '@flannel-ts/inet/ipv6';
import { type Mac, macFromBytes, macToBytes } from '@flannel-ts/inet/mac';
import { attribute, attributeU32, parseAttributes } from './attributes.ts';
import type { Netlink } from './connection.ts';
import * as c from './constants.ts';
import { isNetlinkError } from './errors.ts';
import { addressFamily, type Family, familyOfIp, formatIp, type IpOf, ipToBytes, ofFamily, readIp } from './ip.ts';
import { NLM_F_CREATE, NLM_F_REPLACE } from './message.ts';
import { encodeNeighbourHeader, NDMSG_LENGTH, parseNeighbourHeader } from './neighbour-header.ts';

export interface Neighbour<F extends Family = 4> {
  readonly family: F;
  readonly index: number;
  readonly address: IpOf<F>;
  /** Undefined while it is not resolved. */
  readonly mac: Mac | undefined;
  /** NUD_*. */
  readonly state: number;
  /** NTF_*. */
  readonly flags: number;
}

export interface NeighbourSpec {
  readonly index: number;
  readonly address: Ipv4 | Ipv6;
  readonly mac: Mac;
  /** NUD_PERMANENT by default. */
  readonly state?: number | undefined;
}

export interface NeighbourFilter<F extends Family = 4> {
  readonly family?: F | undefined;
  readonly index?: number | undefined;
}

/** `ip` [`-6`] `neighbour show` [`dev DEV`], in every state. */
export function listNeighbours<F extends Family = 4>(nl: Netlink, filter: NeighbourFilter<F> = {}): Neighbour<F>[] {
  const family = filter.family ?? (4 as F);
  const parts = [encodeNeighbourHeader({ family: addressFamily(family) })];
  if (filter.index !== undefined) parts.push(attributeU32(c.NDA_IFINDEX, filter.index));
  const found: Neighbour<F>[] = [];
  const answers = nl.dump({ type: c.RTM_GETNEIGH, parts, operation: 'list neighbours' });
  for (const message of ofFamily(answers, family)) {
    const neighbour = parseNeighbour<F>(message.payload);
    if (neighbour && (filter.index === undefined || neighbour.index === filter.index)) found.push(neighbour);
  }
  return found;
}

/** `ip neighbour replace IP lladdr MAC dev DEV nud permanent` */
export function replaceNeighbour(nl: Netlink, neighbour: NeighbourSpec): void {
  nl.request({
    type: c.RTM_NEWNEIGH,
    flags: NLM_F_CREATE | NLM_F_REPLACE,
    parts: [
      encodeNeighbourHeader({
        family: addressFamily(familyOfIp(neighbour.address)),
        index: neighbour.index,
        state: neighbour.state ?? c.NUD_PERMANENT,
      }),
      attribute(c.NDA_DST, ipToBytes(neighbour.address)),
      attribute(c.NDA_LLADDR, macToBytes(neighbour.mac)),
    ],
    operation: `replace neighbour ${formatIp(neighbour.address)} on link ${neighbour.index}`,
  });
}

/** `ip neighbour del IP dev DEV`. ENOENT if there is none. */
export function deleteNeighbour(nl: Netlink, neighbour: Pick<NeighbourSpec, 'index' | 'address'>): void {
  const { index, address } = neighbour;
  nl.request({
    type: c.RTM_DELNEIGH,
    parts: [
      encodeNeighbourHeader({ family: addressFamily(familyOfIp(address)), index }),
      attribute(c.NDA_DST, ipToBytes(address)),
    ],
    operation: `delete neighbour ${formatIp(address)} on link ${index}`,
  });
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
export function parseNeighbour<F extends Family = Family>(payload: Uint8Array): Neighbour<F> | undefined {
  const header = parseNeighbourHeader(payload);
  if (header.family !== c.AF_INET && header.family !== c.AF_INET6) return undefined;
  const family = (header.family === c.AF_INET6 ? 6 : 4) as F;
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
