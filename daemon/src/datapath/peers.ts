/** Peers by their subnets, and the difference between two sets of them. Pure. */
import { type PrefixKey, prefixKey } from '@flannel-ts/inet/prefix';
import type { OverlayPeer, PeerChange } from './datapath.ts';

/** By subnet. */
export type Peers = ReadonlyMap<PrefixKey, OverlayPeer>;

/** Of equal subnets the last one holds. */
export function peersOf(list: Iterable<OverlayPeer>): Map<PrefixKey, OverlayPeer> {
  const peers = new Map<PrefixKey, OverlayPeer>();
  for (const peer of list) peers.set(prefixKey(peer.subnet), peer);
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

export function changePeers(peers: Map<PrefixKey, OverlayPeer>, { set, removed }: PeerChange): void {
  for (const subnet of removed) peers.delete(prefixKey(subnet));
  for (const peer of set) peers.set(prefixKey(peer.subnet), peer);
}
