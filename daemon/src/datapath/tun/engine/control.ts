import type { Ip } from '@flannel-ts/inet/ip';
import type { Prefix } from '@flannel-ts/inet/prefix';
import type { PeerCounters } from '../../datapath.ts';
import type { EngineCounters, EngineRoute, RouteChange } from './engine.ts';
import { EngineError } from './errors.ts';
import { REASONS, type Reason } from './reasons.ts';
import {
  ABILITY_NAMES,
  type AbilityName,
  CHANGE,
  type Change,
  type ChangeCode,
  createShared,
  FIRST_DROP,
  MAX_ROUTES,
  PEER_FIELD,
  PEER_STRIDE,
  PHASE,
  pushChange,
  type Shared,
  STATE,
  TOTAL,
  type TotalName,
} from './shared.ts';
import { PeerSlots, slotOf } from './slots.ts';
import { lengthInWords, type Words, wordsOf } from './words.ts';

/** Two headers of 60 bytes and a fragment's 8 bytes: no path in use carries less. */
const MIN_PATH_LIMIT = 128;

const NO_WORDS: Words = [0, 0, 0, 0];

const END_LOOK_MS = 5;

/** The control side's hold on the shared memory: routes and the stop request go in, counters and signs of life come out. */
export class Control {
  readonly shared: Shared = createShared();
  readonly #slots = new PeerSlots();
  readonly #routes = new Map<string, EngineRoute>();
  readonly #count = { 4: 0, 6: 0 };
  /** Routes of each peer. */
  readonly #uses = new Map<Ip, number>();
  /** Changes for which the ring had no room yet, from number #first on. */
  #waiting: Change[] = [];
  #first = 0;

  /** Makes these all routes. */
  setRoutes(routes: readonly EngineRoute[]): void {
    const kept = new Set(routes.map(({ subnet }) => keyOf(subnet)));
    const removed = [...this.#routes].filter(([key]) => !kept.has(key)).map(([, { subnet }]) => subnet);
    this.changeRoutes({ set: routes, removed });
  }

  /** The work is that of the change, however many routes there are. */
  changeRoutes({ set, removed }: RouteChange): void {
    const wanted = new Map(set.map((route) => [keyOf(route.subnet), route]));
    const gone = new Set(removed.map(keyOf).filter((key) => this.#routes.has(key) && !wanted.has(key)));
    const changed = [...wanted].filter(([key, { peer }]) => this.#routes.get(key)?.peer !== peer);
    this.#refuseTooMany(changed, gone);
    const released = new Set<Ip>();
    for (const key of gone) {
      const route = this.#routes.get(key)!;
      this.#routes.delete(key);
      this.#count[route.subnet.family]--;
      this.#announceRoute(CHANGE.removeRoute, route.subnet, 0);
      this.#use(route.peer, -1, released);
    }
    for (const [key, route] of changed) {
      const before = this.#routes.get(key);
      this.#routes.set(key, route);
      if (before === undefined) this.#count[route.subnet.family]++;
      this.#use(route.peer, 1, released);
      this.#announceRoute(CHANGE.setRoute, route.subnet, this.#slots.current.get(route.peer)!);
      if (before !== undefined) this.#use(before.peer, -1, released);
    }
    // Last, so that a peer whose only subnet is another one now stays the same.
    for (const peer of released) this.#release(peer);
    this.flush();
  }

  /** In bytes; less than any path carries counts as that. Undefined: the MTU. */
  setPathLimit(peer: Ip, limit: number | undefined): void {
    const number = this.#slots.current.get(peer);
    if (number === undefined) return;
    this.#announce({
      code: CHANGE.limitPeer,
      peer: number,
      words: NO_WORDS,
      value: limit === undefined ? 0 : Math.max(limit, MIN_PATH_LIMIT),
    });
    this.flush();
  }

  /** Hands over what waits; false when the ring has no room for all of it yet. */
  flush(): boolean {
    while (this.#first < this.#waiting.length) {
      if (!pushChange(this.shared, this.#waiting[this.#first]!)) return false;
      this.#first++;
    }
    this.#waiting = [];
    this.#first = 0;
    return true;
  }

  /** No packet moves until release(). */
  hold(): void {
    Atomics.store(this.shared.state, STATE.held, 1);
  }

  release(): void {
    Atomics.store(this.shared.state, STATE.held, 0);
    Atomics.notify(this.shared.state, STATE.held);
  }

  requestStop(): void {
    Atomics.store(this.shared.state, STATE.stop, 1);
  }

  /** Blocks until the worker has made its last call to the system, or for so long. */
  waitForEnd(ms: number): void {
    const { state } = this.shared;
    const end = performance.now() + ms;
    while (!this.ended && performance.now() < end) {
      Atomics.wait(state, STATE.phase, Atomics.load(state, STATE.phase), END_LOOK_MS);
    }
  }

  get heartbeat(): number {
    return Atomics.load(this.shared.state, STATE.heartbeat);
  }

  get ended(): boolean {
    return Atomics.load(this.shared.state, STATE.phase) === PHASE.ended;
  }

  /** All that the shared memory holds. */
  counters(): Omit<EngineCounters, 'socketDrops' | 'strayDatagrams'> {
    const { totals, abilities: words } = this.shared;
    const values = Object.fromEntries(Object.entries(TOTAL).map(([name, index]) => [name, totals[index]!])) as Record<
      TotalName,
      number
    >;
    const dropped = Object.fromEntries(REASONS.map((reason, index) => [reason, totals[FIRST_DROP + index]!])) as Record<
      Reason,
      number
    >;
    const abilities = Object.fromEntries(
      ABILITY_NAMES.map((name, index) => [name, Atomics.load(words, index)]),
    ) as Record<AbilityName, number>;
    const peers = new Map<Ip, PeerCounters>();
    for (const [address, peer] of this.#slots.current) peers.set(address, this.#peerCounters(peer));
    return { ...values, dropped, abilities, peers };
  }

  #peerCounters(peer: number): PeerCounters {
    const { peers, owners } = this.shared;
    const slot = slotOf(peer);
    // The data side may not have taken the slot over from an earlier peer yet.
    const owned = owners[slot] === peer;
    const at = (name: keyof typeof PEER_FIELD): number => (owned ? peers[slot * PEER_STRIDE + PEER_FIELD[name]]! : 0);
    return {
      sentPackets: at('sentPackets'),
      sentBytes: at('sentBytes'),
      receivedPackets: at('receivedPackets'),
      receivedBytes: at('receivedBytes'),
      path: {
        limit: at('limit'),
        unsegmentedFrom: at('unsegmentedFrom'),
        fallbacks: at('fallbacks'),
        lastErrno: at('lastErrno'),
      },
    };
  }

  #refuseTooMany(changed: readonly (readonly [string, EngineRoute])[], gone: ReadonlySet<string>): void {
    const count = { ...this.#count };
    for (const key of gone) count[this.#routes.get(key)!.subnet.family]--;
    for (const [key, { subnet }] of changed) if (!this.#routes.has(key)) count[subnet.family]++;
    const peers = new Set(changed.map(([, { peer }]) => peer).filter((peer) => !this.#uses.has(peer)));
    const most = Math.max(count[4], count[6], this.#uses.size + peers.size);
    if (most <= MAX_ROUTES) return;
    throw new EngineError('TOO_MANY_ROUTES', `Cannot use ${most} routes: the limit is ${MAX_ROUTES} of each family`);
  }

  /** One route more or less that leads to a peer. */
  #use(peer: Ip, by: 1 | -1, released: Set<Ip>): void {
    const uses = (this.#uses.get(peer) ?? 0) + by;
    this.#uses.set(peer, uses);
    if (uses === 0) released.add(peer);
    else released.delete(peer);
    if (by === -1 || this.#slots.current.has(peer)) return;
    this.#announce({ code: CHANGE.addPeer, peer: this.#slots.assign(peer), words: wordsOf(peer), value: 0 });
  }

  #release(peer: Ip): void {
    const number = this.#slots.current.get(peer)!;
    this.#announce({ code: CHANGE.removePeer, peer: number, words: NO_WORDS, value: 0 });
    this.#slots.release(peer);
    this.#uses.delete(peer);
  }

  #announceRoute(code: ChangeCode, subnet: Prefix, peer: number): void {
    const value = lengthInWords(subnet.family, subnet.length);
    this.#announce({ code, peer, words: wordsOf(subnet.base), value });
  }

  #announce(change: Change): void {
    this.#waiting.push(change);
  }
}

function keyOf({ family, base, length }: Prefix): string {
  return `${family} ${base}/${length}`;
}
