import { formatIpv4, parseIpv4 } from '@flannel-ts/inet/ipv4';
import { parseIpv4Prefix } from '@flannel-ts/inet/prefix';
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
import { PeerSlots } from './slots.ts';

function route(subnet: string, peer: string): EngineRoute {
  return { subnet: parseIpv4Prefix(subnet), peer: parseIpv4(peer) };
}

/** The data side's view of the same memory, as another thread would make it. */
function dataSide(control: Control) {
  const shared = sharedOf(control.shared.buffer);
  return {
    shared,
    take() {
      const taken = takeRoutes(shared)!;
      claimSlots(shared, taken.rows);
      return taken;
    },
    countSent(slot: number) {
      shared.peers[slot * PEER_STRIDE + SENT]! += 1;
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
    const { version, rows } = data.take();
    expect(hasNewRoutes(data.shared, version)).toBe(false);
    expect(rows).toEqual([
      { base: parseIpv4('10.2.0.0'), length: 24, peer: parseIpv4('192.0.2.2'), slot: 0 },
      { base: parseIpv4('200.0.0.0'), length: 8, peer: parseIpv4('192.0.2.2'), slot: 0 },
    ]);
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
      subnet: parseIpv4Prefix(`10.${i >> 8}.${i & 255}.0/24`),
      peer: parseIpv4(`192.${i >> 8}.${i & 255}.1`),
    }));
    control.setRoutes(routes);
    expect(dataSide(control).take().rows.at(-1)?.slot).toBe(MAX_ROUTES - 1);
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
    data.countSent(data.take().rows[1]!.slot);
    expect(control.counters().peers.get(parseIpv4('192.0.2.3'))?.sentPackets).toBe(1);
    expect(control.counters().peers.get(parseIpv4('192.0.2.2'))?.sentPackets).toBe(0);
  });

  test('starts a new peer at 0 in the slot of one that went, before and after the data side took it over', () => {
    const control = new Control();
    const data = dataSide(control);
    control.setRoutes([route('10.2.0.0/24', '192.0.2.2')]);
    data.countSent(data.take().rows[0]!.slot);
    control.setRoutes([route('10.2.0.0/24', '192.0.2.9')]);
    expect(control.counters().peers.get(parseIpv4('192.0.2.9'))?.sentPackets).toBe(0);
    expect(data.take().rows[0]!.slot).toBe(0);
    expect(control.counters().peers.get(parseIpv4('192.0.2.9'))?.sentPackets).toBe(0);
    expect(control.counters().peers.size).toBe(1);
  });

  test('keeps the counters of a peer whose routes change', () => {
    const control = new Control();
    const data = dataSide(control);
    control.setRoutes([route('10.2.0.0/24', '192.0.2.2')]);
    data.countSent(data.take().rows[0]!.slot);
    control.setRoutes([route('10.9.0.0/24', '192.0.2.1'), route('10.8.0.0/24', '192.0.2.2')]);
    data.take();
    expect(control.counters().peers.get(parseIpv4('192.0.2.2'))?.sentPackets).toBe(1);
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
  test('assign() gives distinct slots, keeps those of peers that stay, and stays compact', () => {
    const set = fc.uniqueArray(fc.integer({ min: 1, max: 12 }));
    fc.assert(
      fc.property(fc.array(set, { maxLength: 20 }), (steps) => {
        const slots = new PeerSlots();
        let largest = 0;
        for (const peers of steps) {
          const before = slots.current;
          const after = slots.assign(new Set(peers));
          largest = Math.max(largest, peers.length);
          expect([...after.keys()].sort()).toEqual([...peers].sort());
          expect(new Set(after.values()).size).toBe(peers.length);
          for (const peer of peers) if (before.has(peer)) expect(after.get(peer)).toBe(before.get(peer));
          for (const slot of after.values()) expect(slot).toBeLessThan(largest);
        }
      }),
    );
  });

  test('assign() works on addresses with the top bit set', () => {
    const peer = parseIpv4('203.0.113.7');
    expect([...new PeerSlots().assign(new Set([peer]))].map(([ip]) => formatIpv4(ip as typeof peer))).toEqual([
      '203.0.113.7',
    ]);
  });
});
