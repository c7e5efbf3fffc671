import type { Ip } from '@flannel-ts/inet/ip';
import type { EngineCounters, EngineRoute, PeerCounters } from './engine.ts';
import { EngineError } from './errors.ts';
import type { RouteRow } from './peers.ts';
import type { RouteRow6 } from './peers6.ts';
import { REASONS, type Reason } from './reasons.ts';
import {
  ABILITY_NAMES,
  type AbilityName,
  createShared,
  FIRST_DROP,
  MAX_ROUTES,
  PEER_STRIDE,
  PHASE,
  publishRoutes,
  type Shared,
  STATE,
  TOTAL,
  type TotalName,
} from './shared.ts';
import { PeerSlots, slotOf } from './slots.ts';
import { peerWords, wordsOf } from './underlay.ts';

/** The control side's hold on the shared memory: routes and the stop request go in, counters and signs of life come out. */
export class Control {
  readonly shared: Shared = createShared();
  readonly #slots = new PeerSlots();

  setRoutes(routes: readonly EngineRoute[]): void {
    const peers = new Set(routes.map((route) => route.peer));
    const six = routes.filter(({ subnet }) => subnet.family === 6).length;
    const most = Math.max(six, routes.length - six, peers.size);
    if (most > MAX_ROUTES) {
      throw new EngineError('TOO_MANY_ROUTES', `Cannot use ${most} routes: the limit is ${MAX_ROUTES} of each family`);
    }
    const numbers = this.#slots.assign(peers);
    const rows: RouteRow[] = [];
    const rows6: RouteRow6[] = [];
    for (const { subnet, peer } of routes) {
      const common = { length: subnet.length, peer: numbers.get(peer)! };
      if (subnet.family === 4) rows.push({ base: subnet.base, ...common });
      else rows6.push({ base: wordsOf(subnet.base), ...common });
    }
    publishRoutes(this.shared, {
      rows,
      rows6,
      peers: [...numbers].map(([address, peer]) => ({ peer, address: peerWords(address) })),
    });
  }

  requestStop(): void {
    Atomics.store(this.shared.state, STATE.stop, 1);
  }

  get heartbeat(): number {
    return Atomics.load(this.shared.state, STATE.heartbeat);
  }

  get ended(): boolean {
    return Atomics.load(this.shared.state, STATE.phase) === PHASE.ended;
  }

  counters(): EngineCounters {
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
    const at = (field: number): number => (owned ? peers[slot * PEER_STRIDE + field]! : 0);
    return { sentPackets: at(0), sentBytes: at(1), receivedPackets: at(2), receivedBytes: at(3) };
  }
}
