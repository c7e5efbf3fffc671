/** Devices and peers as the attributes of WG_CMD_SET_DEVICE and WG_CMD_GET_DEVICE (linux/wireguard.h). No descriptors. */
import { addressBytes, type Family } from '@flannel-ts/inet/family';
import { type Ip, ipFromBytes, ipToBytes } from '@flannel-ts/inet/ip';
import type { Prefix } from '@flannel-ts/inet/prefix';
import {
  ipOfSockaddr,
  SOCKADDR_IN_BYTES,
  SOCKADDR_IN6_BYTES,
  sockaddrFamily,
  sockaddrInPort,
  sockaddrOf,
} from '@flannel-ts/linux/sockaddr';
import {
  type Attributes,
  attribute,
  attributeNested,
  attributeU8,
  attributeU16,
  attributeU32,
  listAttributes,
  parseAttributes,
  readString,
  readU8,
  readU16,
  readU32,
  viewOf,
} from '@flannel-ts/rtnetlink/attributes';
import { AF_INET6 } from '@flannel-ts/rtnetlink/constants';
import { NetlinkError } from '@flannel-ts/rtnetlink/errors';
import { addressFamily, familyFrom } from '@flannel-ts/rtnetlink/family';
import * as c from './constants.ts';
import { KEY_BYTES, keyFromBytes, keyToBytes } from './key.ts';

export interface Endpoint {
  readonly address: Ip;
  readonly port: number;
}

/** What is absent stays as it is; of a peer that is not there yet, at the kernel's default. */
export interface DeviceChange {
  readonly privateKey?: string | undefined;
  /** 0: one of the kernel's choice. */
  readonly listenPort?: number | undefined;
  /** Mark of the outer packets, for rules and firewalls; 0: none. */
  readonly fwmark?: number | undefined;
  /** Removes every peer that is not in `peers`, and the session of those that are. */
  readonly replacePeers?: boolean | undefined;
  readonly peers?: readonly PeerChange[] | undefined;
}

export interface PeerChange {
  readonly publicKey: string;
  readonly remove?: boolean | undefined;
  /** Do nothing if there is no such peer. */
  readonly updateOnly?: boolean | undefined;
  /** NO_KEY removes it. */
  readonly presharedKey?: string | undefined;
  readonly endpoint?: Endpoint | undefined;
  /** Seconds, up to 65535; 0: none. */
  readonly keepalive?: number | undefined;
  /** Removes those that are not in `allowedIps`. */
  readonly replaceAllowedIps?: boolean | undefined;
  /** A prefix belongs to one peer: it is taken away from the one that had it. */
  readonly allowedIps?: readonly Prefix[] | undefined;
}

/** Keys are absent where none was set, or where the caller may not see them. */
export interface Device {
  readonly index: number;
  readonly name: string;
  readonly privateKey: string | undefined;
  readonly publicKey: string | undefined;
  readonly listenPort: number;
  readonly fwmark: number;
  readonly peers: readonly Peer[];
}

export interface Peer {
  readonly publicKey: string;
  readonly presharedKey: string | undefined;
  /** Where its last authenticated packet came from, or what was set. */
  readonly endpoint: Endpoint | undefined;
  readonly keepalive: number;
  /** Seconds since 1970; undefined before the first one. */
  readonly lastHandshake: number | undefined;
  readonly receivedBytes: bigint;
  readonly sentBytes: bigint;
  readonly allowedIps: readonly Prefix[];
}

/** Below the size of a netlink attribute (64 KiB) and of what a socket's send buffer holds. */
const MESSAGE_BYTES = 32 * 1024;
/** A peer's attributes without its allowed IPs, with all that may be in it: a bound. */
const PEER_BYTES = 160;
/** An IPv6 prefix. */
const ALLOWED_IP_BYTES = 40;
const ALLOWED_IPS_PER_MESSAGE = Math.floor((MESSAGE_BYTES - PEER_BYTES) / ALLOWED_IP_BYTES);

/**
 * The attributes of the requests that make up a change, in their order: the device's own go with the first one, and the allowed IPs
 * of a peer that has too many for one are added by the following ones.
 */
export function encodeDeviceChange(index: number, change: DeviceChange): Uint8Array[][] {
  const head = [attributeU32(c.WGDEVICE_A_IFINDEX, index)];
  const { privateKey, listenPort, fwmark, replacePeers, peers = [] } = change;
  const own = [...head];
  if (privateKey !== undefined) own.push(attribute(c.WGDEVICE_A_PRIVATE_KEY, keyToBytes(privateKey, 'private key')));
  if (replacePeers) own.push(attributeU32(c.WGDEVICE_A_FLAGS, c.WGDEVICE_F_REPLACE_PEERS));
  if (listenPort !== undefined) own.push(attributeU16(c.WGDEVICE_A_LISTEN_PORT, listenPort));
  if (fwmark !== undefined) own.push(attributeU32(c.WGDEVICE_A_FWMARK, fwmark));
  const batches = batchesOf(peers.flatMap(splitPeer).map(encodePeer));
  const [first = [], ...rest] = batches;
  return [[...own, ...peersAttribute(first)], ...rest.map((batch) => [...head, ...peersAttribute(batch)])];
}

function peersAttribute(peers: readonly Uint8Array[]): Uint8Array[] {
  return peers.length === 0 ? [] : [attributeNested(c.WGDEVICE_A_PEERS, peers)];
}

function splitPeer(peer: PeerChange): PeerChange[] {
  const { publicKey, allowedIps = [] } = peer;
  const parts: PeerChange[] = [{ ...peer, allowedIps: allowedIps.slice(0, ALLOWED_IPS_PER_MESSAGE) }];
  for (let at = ALLOWED_IPS_PER_MESSAGE; at < allowedIps.length; at += ALLOWED_IPS_PER_MESSAGE) {
    parts.push({ publicKey, allowedIps: allowedIps.slice(at, at + ALLOWED_IPS_PER_MESSAGE) });
  }
  return parts;
}

function batchesOf(encoded: readonly Uint8Array[]): Uint8Array[][] {
  const batches: Uint8Array[][] = [];
  let room = 0;
  for (const peer of encoded) {
    if (peer.length > room) {
      batches.push([]);
      room = MESSAGE_BYTES;
    }
    batches.at(-1)!.push(peer);
    room -= peer.length;
  }
  return batches;
}

function encodePeer(peer: PeerChange): Uint8Array {
  const { presharedKey, endpoint, keepalive, allowedIps = [] } = peer;
  const parts = [attribute(c.WGPEER_A_PUBLIC_KEY, keyToBytes(peer.publicKey, 'public key of a peer'))];
  if (presharedKey !== undefined) {
    parts.push(attribute(c.WGPEER_A_PRESHARED_KEY, keyToBytes(presharedKey, 'preshared key of a peer')));
  }
  const flags =
    (peer.remove ? c.WGPEER_F_REMOVE_ME : 0) |
    (peer.replaceAllowedIps ? c.WGPEER_F_REPLACE_ALLOWEDIPS : 0) |
    (peer.updateOnly ? c.WGPEER_F_UPDATE_ONLY : 0);
  if (flags !== 0) parts.push(attributeU32(c.WGPEER_A_FLAGS, flags));
  if (endpoint !== undefined) parts.push(attribute(c.WGPEER_A_ENDPOINT, sockaddrOf(endpoint.address, endpoint.port)));
  if (keepalive !== undefined) parts.push(attributeU16(c.WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL, keepalive));
  if (allowedIps.length > 0) parts.push(attributeNested(c.WGPEER_A_ALLOWEDIPS, allowedIps.map(encodeAllowedIp)));
  return attributeNested(0, parts);
}

function encodeAllowedIp({ family, base, length }: Prefix): Uint8Array {
  return attributeNested(0, [
    attributeU16(c.WGALLOWEDIP_A_FAMILY, addressFamily(family)),
    attribute(c.WGALLOWEDIP_A_IPADDR, ipToBytes(base)),
    attributeU8(c.WGALLOWEDIP_A_CIDR_MASK, length),
  ]);
}

/**
 * One device of the messages of a dump. The first one has the device's own attributes; a peer whose allowed IPs do not fit is
 * continued in the next one, with its key and the rest of them.
 */
export function parseDevice(messages: readonly Uint8Array[]): Device {
  const [first = new Uint8Array(0)] = messages;
  const own = parseAttributes(first);
  const peers: Peer[] = [];
  for (const message of messages) {
    const nested = parseAttributes(message).get(c.WGDEVICE_A_PEERS);
    for (const { payload } of nested ? listAttributes(nested) : []) {
      const peer = parsePeer(parseAttributes(payload));
      const last = peers.at(-1);
      if (last?.publicKey !== peer.publicKey) peers.push(peer);
      else peers[peers.length - 1] = { ...last, allowedIps: [...last.allowedIps, ...peer.allowedIps] };
    }
  }
  return {
    index: required(readU32(own, c.WGDEVICE_A_IFINDEX), 'WGDEVICE_A_IFINDEX'),
    name: readString(own, c.WGDEVICE_A_IFNAME) ?? '',
    privateKey: readKey(own, c.WGDEVICE_A_PRIVATE_KEY),
    publicKey: readKey(own, c.WGDEVICE_A_PUBLIC_KEY),
    listenPort: readU16(own, c.WGDEVICE_A_LISTEN_PORT) ?? 0,
    fwmark: readU32(own, c.WGDEVICE_A_FWMARK) ?? 0,
    peers,
  };
}

function parsePeer(peer: Attributes): Peer {
  const allowedIps = peer.get(c.WGPEER_A_ALLOWEDIPS);
  const handshake = readNumber(peer, c.WGPEER_A_LAST_HANDSHAKE_TIME); // struct __kernel_timespec begins with the seconds
  return {
    publicKey: required(readKey(peer, c.WGPEER_A_PUBLIC_KEY), 'WGPEER_A_PUBLIC_KEY'),
    presharedKey: readKey(peer, c.WGPEER_A_PRESHARED_KEY),
    endpoint: parseEndpoint(peer.get(c.WGPEER_A_ENDPOINT)),
    keepalive: readU16(peer, c.WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL) ?? 0,
    lastHandshake: handshake === 0n ? undefined : Number(handshake),
    receivedBytes: readNumber(peer, c.WGPEER_A_RX_BYTES),
    sentBytes: readNumber(peer, c.WGPEER_A_TX_BYTES),
    allowedIps:
      allowedIps === undefined ? [] : listAttributes(allowedIps).map(({ payload }) => parseAllowedIp(payload)),
  };
}

function parseEndpoint(sockaddr: Uint8Array | undefined): Endpoint | undefined {
  if (sockaddr === undefined) return undefined;
  const length = sockaddr.length < 2 || sockaddrFamily(sockaddr) !== AF_INET6 ? SOCKADDR_IN_BYTES : SOCKADDR_IN6_BYTES;
  if (sockaddr.length < length) throw malformed(`an endpoint has ${sockaddr.length} bytes instead of ${length}`);
  return { address: ipOfSockaddr(sockaddr), port: sockaddrInPort(sockaddr) };
}

function parseAllowedIp(bytes: Uint8Array): Prefix {
  const attributes = parseAttributes(bytes);
  const family: Family = familyFrom(required(readU16(attributes, c.WGALLOWEDIP_A_FAMILY), 'WGALLOWEDIP_A_FAMILY'));
  const address = required(attributes.get(c.WGALLOWEDIP_A_IPADDR), 'WGALLOWEDIP_A_IPADDR');
  if (address.length < addressBytes(family)) throw malformed(`an allowed IP has ${address.length} bytes`);
  const length = required(readU8(attributes, c.WGALLOWEDIP_A_CIDR_MASK), 'WGALLOWEDIP_A_CIDR_MASK');
  return { family, base: ipFromBytes(family, address), length } as Prefix;
}

/** The kernel sends 32 zeros for a key that is not set. */
function readKey(attributes: Attributes, type: number): string | undefined {
  const bytes = attributes.get(type);
  if (bytes?.length !== KEY_BYTES || bytes.every((byte) => byte === 0)) return undefined;
  return keyFromBytes(bytes);
}

function readNumber(attributes: Attributes, type: number): bigint {
  const payload = attributes.get(type);
  return payload && payload.length >= 8 ? viewOf(payload).getBigUint64(0, true) : 0n;
}

function required<T>(value: T | undefined, name: string): T {
  if (value === undefined) throw malformed(`it has no ${name}`);
  return value;
}

function malformed(detail: string): NetlinkError {
  return new NetlinkError('EBADMSG', 'read a WireGuard device', detail);
}
