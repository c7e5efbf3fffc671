/* What the host lends: the start of the memory, settings, and questions that need its tables. */

/** The address of the memory's first byte, for iovecs and message headers. */
export let base: u64 = 0;
export let mtu: u32 = 0;
export let tunAddress: u32 = 0;
export let filterPeers: bool = true;
/** Whether IPv6 is carried; the own address is then at OWN_ADDRESS6. */
export let ipv6: bool = false;
/** Segments in a message; 1 without UDP_SEGMENT. */
export let maxSegments: u32 = 1;
/** Whether packets may be merged at all, and those of UDP. */
export let mergeTcp: bool = false;
export let mergeUdp: bool = false;
export let verify: bool = true;

export function setBase(low: u32, high: u32): void {
  base = ((high as u64) << 32) | (low as u64);
}

export function configure(ownMtu: u32, address: u32, port: u32, filter: bool): void {
  mtu = ownMtu;
  tunAddress = address;
  peerPort = port;
  filterPeers = filter;
}

export function enableIpv6(): void {
  ipv6 = true;
}

export let peerPort: u32 = 0;

export function setSending(segments: u32): void {
  maxSegments = segments;
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
export declare function isPeer(address: u32): bool;
/** Counts a refused incoming packet and answers it where that is due. */
export declare function refuse(verdict: i32, packet: usize, length: u32): void;
/** Writes out all entries and forgets them. */
export declare function makeRoom(): void;

// The last answers: packets come in bursts of one flow.
let lastDestination: u32 = 0;
let lastDestinationPeer: u32 = 0;
let lastSource: u32 = 0;
let lastSourcePeer: u32 = 0;

/** The host has other tables from now on. */
export function forgetRoutes(): void {
  lastDestination = 0;
  lastDestinationPeer = 0;
  lastSource = 0;
  lastSourcePeer = 0;
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
