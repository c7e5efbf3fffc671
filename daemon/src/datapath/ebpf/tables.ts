/** Peers in the kernel's maps, as changes: entries that stay the same are not touched, and packets meet the old one or the new one. */
import { type BpfMap, lpmKey, type MapEntry } from '@flannel-ts/bpf/map';
import { type Ip, ipToBytes, isIpv6 } from '@flannel-ts/inet/ip';
import { type PrefixKey, prefixKey } from '@flannel-ts/inet/prefix';
import type { OverlayPeer, PeerChange } from '../datapath.ts';
import { changePeers, diffPeers, peersOf } from '../peers.ts';
import { largestPacket } from '../tun/engine/forward.ts';
import { PEER, ROUTE } from './layout.ts';

export interface TableMaps {
  readonly routes4: BpfMap;
  readonly routes6: BpfMap;
  readonly peers: BpfMap;
  readonly receivers: BpfMap;
}

export class Tables {
  readonly #peers = new Map<PrefixKey, OverlayPeer>();
  /** Subnets of each peer. */
  readonly #uses = new Map<Ip, Set<PrefixKey>>();
  readonly #limits = new Map<Ip, number>();

  constructor(
    private readonly maps: TableMaps,
    private mtu: number,
  ) {}

  #hasBegun = false;
  /** What kept the maps from having all peers: packets to the others are the engine's. */
  #failure: unknown;

  get failure(): unknown {
    return this.#failure;
  }

  /** Makes these all, whatever an earlier process has left in the maps. */
  begin(peers: Iterable<OverlayPeer>): void {
    this.#hasBegun = true;
    const wanted = peersOf(peers);
    const gone = [...this.#peers.values()].map(({ subnet }) => subnet).filter((each) => !wanted.has(prefixKey(each)));
    this.#write({ set: [...wanted.values()], removed: gone }, true);
  }

  /** Makes these all. */
  replace(peers: Iterable<OverlayPeer>): void {
    const change = diffPeers(this.#peers, peersOf(peers));
    if (change !== undefined) this.change(change);
  }

  /**
   * A peer's counters are there before its routes, and go after them. The first change has all peers. Where the maps cannot take it, as they are
   * full, it throws; what is gone is gone from them all the same, and the next change writes all anew.
   */
  change(change: PeerChange): void {
    if (!this.#hasBegun) {
      this.begin(change.set);
      return;
    }
    if (this.#failure === undefined) {
      this.#write(change, false);
      return;
    }
    const wanted = new Map(this.#peers);
    changePeers(wanted, change);
    this.begin(wanted.values());
  }

  #write(change: PeerChange, all: boolean): void {
    try {
      if (all) this.#failure = undefined;
      this.#apply(change, all);
    } catch (error) {
      this.#failure = error;
      throw error;
    } finally {
      if (this.#failure !== undefined) this.#sweep();
    }
  }

  /** Removes from the maps what is not known here. */
  #sweep(): void {
    const known = new Set([...this.#peers.values()].map((peer) => keyText(routeKey(peer))));
    for (const map of [this.maps.routes4, this.maps.routes6]) {
      map.deleteAll([...map.keys()].filter((key) => !known.has(keyText(key))));
    }
    const addresses = new Set([...this.#uses.keys()].map((peer) => keyText(ipToBytes(peer))));
    for (const map of [this.maps.peers, this.maps.receivers]) {
      map.deleteAll([...map.keys()].filter((key) => !addresses.has(keyText(key))));
    }
  }

  /** `all`: the change has all peers, and the maps may lack any. */
  #apply(change: PeerChange, all: boolean): void {
    const before = new Set(this.#uses.keys());
    const wanted = peersOf(change.set);
    const gone = change.removed.filter(
      (subnet) => this.#peers.has(prefixKey(subnet)) && !wanted.has(prefixKey(subnet)),
    );
    const set = [...wanted.values()];
    for (const subnet of gone) this.#release(prefixKey(subnet));
    for (const peer of set) this.#release(prefixKey(peer.subnet));
    changePeers(this.#peers, { set, removed: gone });
    for (const peer of set) this.#use(peer);

    // Room first: what an earlier process left may fill them.
    if (all) this.#sweep();
    const zero = new Uint8Array(PEER.bytes);
    const present = new Set(set.map(({ peer }) => peer).filter((peer) => !isIpv6(peer)));
    for (const peer of present) if (all || !before.has(peer)) this.#addPeer(peer, zero);
    // A peer that is reached by IPv6 is the engine's: there is no route to it here.
    for (const map of [this.maps.routes4, this.maps.routes6]) {
      const entries = set.filter((peer) => this.#mapOf(peer) === map && !isIpv6(peer.peer));
      map.updateAll(entries.map((peer): MapEntry => [routeKey(peer), this.#routeValue(peer)]));
      const elsewhere = set.filter((peer) => this.#mapOf(peer) === map && isIpv6(peer.peer));
      map.deleteAll([...elsewhere, ...gone.map((subnet) => ({ subnet }))].filter(ofMap(map, this.maps)).map(routeKey));
    }
    for (const peer of before) {
      if (this.#uses.has(peer)) continue;
      this.#limits.delete(peer);
      if (isIpv6(peer)) continue;
      this.maps.peers.delete(ipToBytes(peer));
      this.maps.receivers.delete(ipToBytes(peer));
    }
  }

  setLimit(peer: Ip, limit: number | undefined): void {
    if (!this.#uses.has(peer)) return;
    if (limit === undefined) this.#limits.delete(peer);
    else this.#limits.set(peer, limit);
    this.#rewrite([...this.#uses.get(peer)!]);
  }

  setMtu(mtu: number): void {
    if (mtu === this.mtu) return;
    this.mtu = mtu;
    this.#rewrite([...this.#peers.keys()]);
  }

  get addresses(): Iterable<Ip> {
    return this.#uses.keys();
  }

  /** Counters that an earlier process has left go on. */
  #addPeer(peer: Ip, zero: Uint8Array): void {
    const key = ipToBytes(peer);
    if (this.maps.peers.lookup(key) === undefined) this.maps.peers.update(key, zero);
    if (this.maps.receivers.lookup(key) === undefined) this.maps.receivers.update(key, new Uint8Array(8));
  }

  #rewrite(subnets: readonly PrefixKey[]): void {
    const routes = subnets.map((subnet) => this.#peers.get(subnet)!).filter(({ peer }) => !isIpv6(peer));
    for (const map of [this.maps.routes4, this.maps.routes6]) {
      const own = routes.filter((peer) => this.#mapOf(peer) === map);
      map.updateAll(own.map((peer): MapEntry => [routeKey(peer), this.#routeValue(peer)]));
    }
  }

  #mapOf({ subnet }: OverlayPeer): BpfMap {
    return subnet.family === 4 ? this.maps.routes4 : this.maps.routes6;
  }

  #routeValue({ subnet, peer }: OverlayPeer): Uint8Array {
    const value = new Uint8Array(ROUTE.bytes);
    value.set(ipToBytes(peer), ROUTE.peer);
    const largest = largestPacket(this.#limits.get(peer) ?? 0, this.mtu, subnet.family);
    new DataView(value.buffer).setUint32(ROUTE.largest, largest, true);
    return value;
  }

  #use({ subnet, peer }: OverlayPeer): void {
    const subnets = this.#uses.get(peer) ?? new Set();
    this.#uses.set(peer, subnets.add(prefixKey(subnet)));
  }

  #release(key: PrefixKey): void {
    const before = this.#peers.get(key);
    if (before === undefined) return;
    const subnets = this.#uses.get(before.peer)!;
    subnets.delete(key);
    if (subnets.size === 0) this.#uses.delete(before.peer);
  }
}

function ofMap(map: BpfMap, { routes4 }: TableMaps) {
  return ({ subnet }: Pick<OverlayPeer, 'subnet'>): boolean => (subnet.family === 4) === (map === routes4);
}

function routeKey({ subnet }: Pick<OverlayPeer, 'subnet'>): Uint8Array {
  return lpmKey(subnet.length, ipToBytes(subnet.base));
}

function keyText(key: Uint8Array): string {
  return Buffer.from(key).toString('hex');
}
