/* What the host provides: the start of the memory, settings, and lookups in its tables. */
import { LAST_SENDER, LAST_TARGET, NAME_STRIDE, TARGET_LIMIT, TARGET_UNSEGMENTED } from './layout';

/** The address of the memory's first byte, for iovecs and message headers. */
export let base: u64 = 0;
export let mtu: u32 = 0;
/** 0 where IPv4 is disabled inside the overlay. */
export let tunAddress: u32 = 0;
/** Of the sockaddrs of the socket's family. */
export let nameBytes: u32 = 0;
/** Of every peer. */
export let port: u32 = 0;
export let filterPeers: bool = true;
/** Whether IPv6 is carried; the own address is then at OWN_ADDRESS6. */
export let ipv6: bool = false;
/** Segments in a message; 1 without UDP_SEGMENT. */
export let maxSegments: u32 = 1;
/** Sockets to send from, each with a source port. */
export let sources: u32 = 1;
/** Whether packets may be merged at all, and those of UDP. */
export let mergeTcp: bool = false;
export let mergeUdp: bool = false;
export let verify: bool = true;

export function setBase(low: u32, high: u32): void {
  base = ((high as u64) << 32) | (low as u64);
}

export function configure(ownMtu: u32, address: u32, bytes: u32, peerPort: u32, filter: bool): void {
  mtu = ownMtu;
  tunAddress = address;
  nameBytes = bytes;
  port = peerPort;
  filterPeers = filter;
}

export function enableIpv6(): void {
  ipv6 = true;
}

export function setSending(segments: u32, sockets: u32): void {
  maxSegments = segments;
  sources = sockets;
}

export function setMerging(tcp: bool, udp: bool, verifyChecksums: bool): void {
  mergeTcp = tcp;
  mergeUdp = udp;
  verify = verifyChecksums;
}

/** The peer that has an address, 0 for none. Imported from the host. */
export declare function ownerOf(address: u32): u32;
/** The same for the IPv6 address of 16 bytes at `address`. */
export declare function ownerOf6(address: usize): u32;
/** The peer with the name (sockaddr) at `name`, 0 for a stranger. */
declare function peerAt(name: usize): u32;
/** Writes a peer's name to LAST_TARGET, TARGET_LIMIT and TARGET_UNSEGMENTED. */
declare function describeTarget(peer: u32): void;
/** Whether a peer has the address, of the socket's family, at `address`. */
export declare function isPeerAddress(address: usize): bool;
/** Counts a refused incoming packet and answers it where that is due. */
export declare function refuse(verdict: i32, packet: usize, length: u32): void;
/** Writes out all entries and forgets them. */
export declare function makeRoom(): void;

// The last answers: packets come in bursts of one flow.
let lastDestination: u32 = 0;
let lastDestinationPeer: u32 = 0;
let lastSource: u32 = 0;
let lastSourcePeer: u32 = 0;
let lastTarget: u32 = 0;
let lastSender: u32 = 0;

/** The host's tables, or the limits of a path, have changed. */
export function forgetRoutes(): void {
  lastDestination = 0;
  lastDestinationPeer = 0;
  lastSource = 0;
  lastSourcePeer = 0;
  lastTarget = 0;
  memory.fill(LAST_SENDER, 0, NAME_STRIDE);
}

/** Where a peer's name is, until the next call. */
export function nameOf(peer: u32): usize {
  if (peer !== lastTarget) {
    describeTarget(peer);
    lastTarget = peer;
  }
  return LAST_TARGET;
}

/** The largest packet that the path to a peer takes without fragments: the MTU or less. */
export function limitOf(peer: u32): u32 {
  nameOf(peer);
  return load<u32>(TARGET_LIMIT);
}

/** From what length on packets to a peer are messages of their own. */
export function unsegmentedFrom(peer: u32): u32 {
  nameOf(peer);
  return load<u32>(TARGET_UNSEGMENTED);
}

/** The peer that a received name is of, 0 for a stranger. */
export function senderOf(name: usize): u32 {
  const low = v128.xor(v128.load(name), v128.load(LAST_SENDER));
  const high = v128.xor(v128.load(name, 16), v128.load(LAST_SENDER, 16));
  if (v128.any_true(v128.or(low, high))) {
    v128.store(LAST_SENDER, v128.load(name));
    v128.store(LAST_SENDER, v128.load(name, 16), 16);
    lastSender = peerAt(name);
  }
  return lastSender;
}

export function peerOfDestination(address: u32): u32 {
  if (address !== lastDestination || lastDestinationPeer === 0) {
    lastDestination = address;
    lastDestinationPeer = ownerOf(address);
  }
  return lastDestinationPeer;
}

export function peerOfSource(address: u32): u32 {
  if (address !== lastSource || lastSourcePeer === 0) {
    lastSource = address;
    lastSourcePeer = ownerOf(address);
  }
  return lastSourcePeer;
}
