import { type Ip, parseIp } from '@flannel-ts/inet/ip';
import { parsePrefix } from '@flannel-ts/inet/prefix';
import fc from 'fast-check';
import { Control } from './control.ts';
import type { EngineRoute } from './engine.ts';
import {
  claimSlots,
  hasNewRoutes,
  MAX_ROUTES,
  PEER_STRIDE,
  SELF_TEST,
  SENT,
  STATE,
  setAbility,
  sharedOf,
  takeRoutes,
} from './shared.ts';
import { PeerSlots, slotOf } from './slots.ts';

function route(subnet: string, peer: string): EngineRoute {
  return { subnet: parsePrefix(subnet), peer: parseIp(peer) };
}

/** The data side's view of the same memory, as another thread would make it. */
function dataSide(control: Control) {
  const shared = sharedOf(control.shared.buffer);
  return {
    shared,
    take() {
      const taken = takeRoutes(shared)!;
      claimSlots(shared, taken.peers);
      return taken;
    },
    countSent(peer: number) {
      shared.peers[slotOf(peer) * PEER_STRIDE + SENT]! += 1;
    },
  };
}

describe('setRoutes()', () => {
  test('hands a table to the other side', () => {
    const control = new Control();
    const data = dataSide(control);
    expect(hasNewRoutes(data.shared, 0)).toBe(false);
    control.setRoutes([route('10.2.0.0/24', '192.0.2.2'), route('200.0.0.0/8', '192.0.2.2')]);
    expect(hasNewRoutes(data.shared, 0)).toBe(true);
    const { version, rows, peers } = data.take();
    expect(hasNewRoutes(data.shared, version)).toBe(false);
    expect(rows).toEqual([
      { base: parseIp('10.2.0.0'), length: 24, peer: peers[0]!.peer },
      { base: parseIp('200.0.0.0'), length: 8, peer: peers[0]!.peer },
    ]);
    expect(peers).toEqual([{ peer: expect.any(Number), address: [0, 0, 0xffff, parseIp('192.0.2.2')] }]);
    expect(slotOf(peers[0]!.peer)).toBe(0);
  });

  test('hands over subnets and peers of IPv6', () => {
    const control = new Control();
    control.setRoutes([{ subnet: parsePrefix('fd00:1::/64'), peer: parseIp('2001:db8::7') }]);
    const { rows, rows6, peers } = dataSide(control).take();
    expect(rows).toEqual([]);
    expect(rows6).toEqual([{ base: [0xfd00_0001, 0, 0, 0], length: 64, peer: peers[0]!.peer }]);
    expect(peers[0]!.address).toEqual([0x2001_0db8, 0, 0, 7]);
    expect([...control.counters().peers.keys()]).toEqual([parseIp('2001:db8::7')]);
  });

  test('replaces the table, down to an empty one', () => {
    const control = new Control();
    control.setRoutes([route('10.2.0.0/24', '192.0.2.2')]);
    control.setRoutes([]);
    expect(dataSide(control).take().rows).toEqual([]);
  });

  test('takes the largest table and refuses a larger one', () => {
    const control = new Control();
    const routes = Array.from({ length: MAX_ROUTES }, (_, i) => ({
      subnet: parsePrefix(`10.${i >> 8}.${i & 255}.0/24`),
      peer: parseIp(`192.${i >> 8}.${i & 255}.1`),
    }));
    control.setRoutes(routes);
    expect(slotOf(dataSide(control).take().peers.at(-1)!.peer)).toBe(MAX_ROUTES - 1);
    expect(() => control.setRoutes([...routes, routes[0]!])).toThrow(
      expect.objectContaining({ code: 'TOO_MANY_ROUTES' }),
    );
  });
});

describe('takeRoutes()', () => {
  test('gives nothing while the announced table is being overwritten', () => {
    const control = new Control();
    control.setRoutes([route('10.2.0.0/24', '192.0.2.2')]);
    Atomics.add(control.shared.state, STATE.sequence + 1, 1); // version 1 lies in table 1
    expect(takeRoutes(control.shared)).toBeUndefined();
    Atomics.add(control.shared.state, STATE.sequence + 1, 1);
    expect(takeRoutes(control.shared)?.rows).toHaveLength(1);
  });
});

describe('counters()', () => {
  test('shows the counters of present peers', () => {
    const control = new Control();
    const data = dataSide(control);
    control.setRoutes([route('10.2.0.0/24', '192.0.2.2'), route('10.3.0.0/24', '192.0.2.3')]);
    data.countSent(data.take().rows[1]!.peer);
    expect(control.counters().peers.get(parseIp('192.0.2.3'))?.sentPackets).toBe(1);
    expect(control.counters().peers.get(parseIp('192.0.2.2'))?.sentPackets).toBe(0);
  });

  test('starts a new peer at 0 in the slot of one that went, before and after the data side took it over', () => {
    const control = new Control();
    const data = dataSide(control);
    control.setRoutes([route('10.2.0.0/24', '192.0.2.2')]);
    data.countSent(data.take().rows[0]!.peer);
    control.setRoutes([route('10.2.0.0/24', '192.0.2.9')]);
    expect(control.counters().peers.get(parseIp('192.0.2.9'))?.sentPackets).toBe(0);
    expect(slotOf(data.take().rows[0]!.peer)).toBe(0);
    expect(control.counters().peers.get(parseIp('192.0.2.9'))?.sentPackets).toBe(0);
    expect(control.counters().peers.size).toBe(1);
  });

  test('keeps the counters of a peer whose routes change', () => {
    const control = new Control();
    const data = dataSide(control);
    control.setRoutes([route('10.2.0.0/24', '192.0.2.2')]);
    data.countSent(data.take().rows[0]!.peer);
    control.setRoutes([route('10.9.0.0/24', '192.0.2.1'), route('10.8.0.0/24', '192.0.2.2')]);
    data.take();
    expect(control.counters().peers.get(parseIp('192.0.2.2'))?.sentPackets).toBe(1);
  });
});

describe('setAbility()', () => {
  test('is seen by the control side', () => {
    const control = new Control();
    setAbility(dataSide(control).shared, 'busyPollUs', 50);
    expect(control.counters().abilities).toMatchObject({ busyPollUs: 50, udpGro: 0, selfTest: SELF_TEST.none });
  });
});

describe('PeerSlots', () => {
  test('assign() gives numbers that no other peer had, keeps those of peers that stay, and slots stay compact', () => {
    const address = fc.integer({ min: 1, max: 12 }).map((n) => (n % 2 === 0 ? BigInt(n) : n) as Ip);
    const set = fc.uniqueArray(address);
    fc.assert(
      fc.property(fc.array(set, { maxLength: 20 }), (steps) => {
        const slots = new PeerSlots();
        let largest = 0;
        const owners = new Map<number, Ip>();
        for (const peers of steps) {
          const before = slots.current;
          const after = slots.assign(new Set(peers));
          largest = Math.max(largest, peers.length);
          expect([...after.keys()].sort()).toEqual([...peers].sort());
          expect(new Set([...after.values()].map(slotOf)).size).toBe(peers.length);
          for (const peer of peers) if (before.has(peer)) expect(after.get(peer)).toBe(before.get(peer));
          for (const [peer, number] of after) {
            expect(slotOf(number)).toBeLessThan(largest);
            expect(number).toBeGreaterThan(0);
            expect(owners.get(number) ?? peer).toBe(peer);
            owners.set(number, peer);
          }
        }
      }),
    );
  });

  test('assign() goes on after the last generation', () => {
    const slots = new PeerSlots();
    for (let times = 0; times < 70_000; times++) slots.assign(new Set([times as Ip]));
    for (const number of slots.current.values()) expect([number > 0, slotOf(number)]).toEqual([true, 0]);
  });
});
