import { type Ip, parseIp } from '@flannel-ts/inet/ip';
import { type Prefix, parsePrefix } from '@flannel-ts/inet/prefix';
import fc from 'fast-check';
import { Control } from './control.ts';
import type { EngineRoute } from './engine.ts';
import { MAX_ROUTES, PEER_STRIDE, RING_RECORDS, SELF_TEST, SENT, setAbility, sharedOf } from './shared.ts';
import { PeerSlots, slotOf } from './slots.ts';
import { Tables } from './tables.ts';
import { Underlay } from './underlay.ts';

function route(subnet: string, peer: string): EngineRoute {
  return { subnet: parsePrefix(subnet), peer: parseIp(peer) };
}

/** The data side's view of the same memory, as another thread would make it. */
function dataSide(control: Control, family: 4 | 6 = 4) {
  const shared = sharedOf(control.shared.buffer);
  const tables = new Tables(shared, new Underlay(family, 8285));
  const take = (): void => {
    while (!control.flush() || tables.pending) tables.refresh();
  };
  return {
    shared,
    tables,
    take,
    peerOf(ip: string): number {
      take();
      return tables.routes.lookup(parseIp(ip, 4));
    },
    countSent(peer: number) {
      shared.peers[slotOf(peer) * PEER_STRIDE + SENT]! += 1;
    },
  };
}

describe('setRoutes()', () => {
  test('hands routes and peers of both families to the other side', () => {
    const control = new Control();
    const data = dataSide(control, 6);
    expect(data.tables.refresh()).toBe(false);
    control.setRoutes([route('10.2.0.0/24', '2001:db8::7'), route('fd00:1::/64', '2001:db8::7')]);
    expect(data.tables.pending).toBe(true);
    const peer = data.peerOf('10.2.0.1');
    expect(data.tables.routes.lookup6(Uint8Array.of(0xfd, 0, 0, 1, ...new Uint8Array(12)), 0)).toBe(peer);
    expect([slotOf(peer), data.tables.underlay.has(peer)]).toEqual([0, true]);
    expect([...control.counters().peers.keys()]).toEqual([parseIp('2001:db8::7')]);
  });

  test('replaces all routes, down to none', () => {
    const control = new Control();
    const data = dataSide(control);
    control.setRoutes([route('10.2.0.0/24', '192.0.2.2'), route('10.3.0.0/24', '192.0.2.3')]);
    const peer = data.peerOf('10.2.0.1');
    control.setRoutes([route('10.3.0.0/24', '192.0.2.3')]);
    expect([data.peerOf('10.2.0.1'), data.tables.underlay.has(peer)]).toEqual([0, false]);
    control.setRoutes([]);
    expect([data.peerOf('10.3.0.1'), data.tables.routes.size]).toEqual([0, 0]);
  });

  test('takes the largest table and refuses a larger one, which changes nothing', () => {
    const control = new Control();
    const data = dataSide(control);
    const routes = Array.from({ length: MAX_ROUTES }, (_, i) =>
      route(`10.${i >> 8}.${i & 255}.0/24`, `192.${i >> 8}.${i & 255}.1`),
    );
    control.setRoutes(routes);
    expect(slotOf(data.peerOf('10.255.255.9'))).toBe(MAX_ROUTES - 1);
    const change = { set: [route('11.0.0.0/24', '192.0.2.2')], removed: [] };
    expect(() => control.changeRoutes(change)).toThrow(expect.objectContaining({ code: 'TOO_MANY_ROUTES' }));
    control.changeRoutes({ set: [], removed: [parsePrefix('10.0.0.0/24')] });
    control.changeRoutes({ set: [route('11.0.0.0/24', '192.0.2.2')], removed: [] });
    expect([data.peerOf('10.0.0.9'), slotOf(data.peerOf('11.0.0.9'))]).toEqual([0, 0]);
  });
});

describe('changeRoutes()', () => {
  test('announces the change and nothing else', () => {
    const control = new Control();
    const data = dataSide(control);
    control.setRoutes(Array.from({ length: 3000 }, (_, i) => route(`10.${i >> 8}.${i & 255}.0/24`, '192.0.2.2')));
    data.take();
    const changes = (): number => {
      const [, , , head, tail] = data.shared.state;
      return head! - tail!;
    };
    control.changeRoutes({ set: [route('10.2.0.0/24', '192.0.2.9')], removed: [parsePrefix('10.3.0.0/24')] });
    expect(changes()).toBe(3); // a route less, a peer more, a route to it
    const before = data.peerOf('10.4.0.1');
    expect([data.peerOf('10.3.0.1'), data.peerOf('10.2.0.1') === before]).toEqual([0, false]);
    control.changeRoutes({ set: [route('10.2.0.0/24', '192.0.2.9')], removed: [parsePrefix('10.3.0.0/24')] });
    expect(changes()).toBe(0);
  });

  test('sets a subnet that it also removes, and keeps a peer that moves to another subnet', () => {
    const control = new Control();
    const data = dataSide(control);
    control.setRoutes([route('10.2.0.0/24', '192.0.2.2')]);
    const peer = data.peerOf('10.2.0.1');
    const both = [parsePrefix('10.2.0.0/24'), parsePrefix('10.3.0.0/24')];
    control.changeRoutes({ set: [route('10.3.0.0/24', '192.0.2.2')], removed: both });
    expect([data.peerOf('10.2.0.1'), data.peerOf('10.3.0.1')]).toEqual([0, peer]);
  });

  test('loses nothing when the ring is full', () => {
    const control = new Control();
    const data = dataSide(control);
    const routes = Array.from({ length: RING_RECORDS + 100 }, (_, i) =>
      route(`10.${i >> 8}.${i & 255}.0/24`, '192.0.2.2'),
    );
    control.setRoutes(routes);
    expect(control.flush()).toBe(false);
    control.setPathLimit(parseIp('192.0.2.2'), 1000);
    control.changeRoutes({ set: [], removed: [routes.at(-1)!.subnet] });
    data.take();
    expect(data.tables.routes.size).toBe(routes.length - 1);
    expect(control.counters().peers.get(parseIp('192.0.2.2'))!.path.limit).toBe(1000);
  });

  test('brings the other side to the same routes by any changes', () => {
    const subnets = Array.from({ length: 8 }, (_, i) => parsePrefix(`10.${i}.0.0/24`)) as readonly Prefix[];
    const subnet = fc.constantFrom(...subnets);
    const peer = fc.constantFrom(...['192.0.2.1', '192.0.2.2', '192.0.2.3'].map((ip) => parseIp(ip)));
    const step = fc.record({
      set: fc.array(fc.record({ subnet, peer }), { maxLength: 4 }),
      removed: fc.array(subnet, { maxLength: 3 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
        const control = new Control();
        const data = dataSide(control);
        const model = new Map<Prefix, Ip>();
        for (const { set, removed } of steps) {
          control.changeRoutes({ set, removed });
          for (const prefix of removed) model.delete(prefix);
          for (const made of set) model.set(made.subnet, made.peer);
        }
        data.take();
        const { peers } = control.counters();
        expect(new Set(peers.keys())).toEqual(new Set(model.values()));
        const byNumber = new Map<Ip, number>();
        for (const { base } of subnets) {
          const wanted = [...model].find(([prefix]) => prefix.base === base)?.[1];
          const number = data.tables.routes.lookup(base as number);
          expect(data.tables.underlay.has(number)).toBe(wanted !== undefined);
          if (wanted !== undefined) expect(byNumber.get(wanted) ?? number).toBe(number);
          if (wanted !== undefined) byNumber.set(wanted, number);
        }
        expect(new Set(byNumber.values()).size).toBe(byNumber.size);
      }),
    );
  });
});

test('setPathLimit() passes over strangers, and sets no less than any path carries', () => {
  const control = new Control();
  const data = dataSide(control);
  control.setPathLimit(parseIp('192.0.2.2'), 1000);
  control.setRoutes([route('10.2.0.0/24', '192.0.2.2')]);
  const limit = (): number => {
    data.take();
    return control.counters().peers.get(parseIp('192.0.2.2'))!.path.limit;
  };
  expect(limit()).toBe(0);
  control.setPathLimit(parseIp('192.0.2.2'), 5);
  expect(limit()).toBe(128);
  control.setPathLimit(parseIp('192.0.2.2'), undefined);
  expect(limit()).toBe(0);
});

describe('counters()', () => {
  test('shows the counters of present peers', () => {
    const control = new Control();
    const data = dataSide(control);
    control.setRoutes([route('10.2.0.0/24', '192.0.2.2'), route('10.3.0.0/24', '192.0.2.3')]);
    data.countSent(data.peerOf('10.3.0.1'));
    expect(control.counters().peers.get(parseIp('192.0.2.3'))?.sentPackets).toBe(1);
    expect(control.counters().peers.get(parseIp('192.0.2.2'))?.sentPackets).toBe(0);
  });

  test('starts a new peer at 0 in the slot of one that went, before and after the data side took it over', () => {
    const control = new Control();
    const data = dataSide(control);
    control.setRoutes([route('10.2.0.0/24', '192.0.2.2')]);
    data.countSent(data.peerOf('10.2.0.1'));
    control.setPathLimit(parseIp('192.0.2.2'), 1000);
    control.setRoutes([]);
    control.setRoutes([route('10.2.0.0/24', '192.0.2.9')]);
    const counters = () => control.counters().peers.get(parseIp('192.0.2.9'));
    expect(counters()).toMatchObject({ sentPackets: 0, path: { limit: 0 } });
    expect(slotOf(data.peerOf('10.2.0.1'))).toBe(0);
    expect(counters()).toMatchObject({ sentPackets: 0, path: { limit: 0 } });
    expect(control.counters().peers.size).toBe(1);
  });

  test('keeps the counters of a peer whose routes change', () => {
    const control = new Control();
    const data = dataSide(control);
    control.setRoutes([route('10.2.0.0/24', '192.0.2.2')]);
    data.countSent(data.peerOf('10.2.0.1'));
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
  test('assign() gives numbers that no other peer had, and slots stay compact', () => {
    const steps = fc.array(fc.integer({ min: 0, max: 11 }), { maxLength: 60 });
    fc.assert(
      fc.property(steps, (toggled) => {
        const slots = new PeerSlots();
        const owners = new Map<number, Ip>();
        let largest = 0;
        for (const step of toggled) {
          const peer = step as Ip;
          if (slots.current.has(peer)) {
            slots.release(peer);
            continue;
          }
          const number = slots.assign(peer);
          largest = Math.max(largest, slots.current.size);
          expect(slotOf(number)).toBeLessThan(largest);
          expect(number).toBeGreaterThan(0);
          expect(owners.has(number)).toBe(false);
          owners.set(number, peer);
        }
        expect(new Set([...slots.current.values()].map(slotOf)).size).toBe(slots.current.size);
      }),
    );
  });

  test('assign() goes on after the last generation', () => {
    const slots = new PeerSlots();
    for (let times = 0; times < 70_000; times++) {
      slots.assign(7 as Ip);
      if (times < 69_999) slots.release(7 as Ip);
    }
    for (const number of slots.current.values()) expect([number > 0, slotOf(number)]).toEqual([true, 0]);
  });
});
