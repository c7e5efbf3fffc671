/** Peers by their subnets, and the difference between two sets of them. Pure. */
import type { OverlayPeer, PeerChange } from './datapath.ts';

/** By subnetKey(). */
export type Peers = ReadonlyMap<string, OverlayPeer>;

/** Of equal subnets the last one holds. */
export function peersOf(list: Iterable<OverlayPeer>): Map<string, OverlayPeer> {
  const peers = new Map<string, OverlayPeer>();
  for (const peer of list) peers.set(subnetKey(peer.subnet), peer);
  return peers;
}

/** Undefined when they are the same. */
export function diffPeers(before: Peers, after: Peers): PeerChange | undefined {
  const set: OverlayPeer[] = [];
  const removed: OverlayPeer['subnet'][] = [];
  for (const [key, peer] of after) if (before.get(key)?.peer !== peer.peer) set.push(peer);
  for (const [key, { subnet }] of before) if (!after.has(key)) removed.push(subnet);
  return set.length + removed.length === 0 ? undefined : { set, removed };
}

export function changePeers(peers: Map<string, OverlayPeer>, { set, removed }: PeerChange): void {
  for (const subnet of removed) peers.delete(subnetKey(subnet));
  for (const peer of set) peers.set(subnetKey(peer.subnet), peer);
}

export function subnetKey({ family, base, length }: OverlayPeer['subnet']): string {
  return `${family} ${base}/${length}`;
}
