import { type Ip, parseIp } from '@flannel-ts/inet/ip';
import { parsePrefix } from '@flannel-ts/inet/prefix';
import { SMALL_BYTES } from './echo.ts';
import { REACH_SETTINGS, ReachTable } from './table.ts';

const MTU = 1472;
const peer = (n: number) => ({
  subnet: parsePrefix(`10.${5 + Math.floor(n / 256)}.${n % 256}.0/24`),
  peer: parseIp(`10.64.${Math.floor(n / 256)}.${n % 256}`),
});
const target = (n: number) => peer(n).subnet.base;
const make = (random = () => 0) => new ReachTable({ ...REACH_SETTINGS, mtu: MTU, answers: 'device', random });

describe('ReachTable', () => {
  test('a node without a device of its own is asked at its bridge, and its own word that nobody is there is an answer', () => {
    const table = new ReachTable({ ...REACH_SETTINGS, mtu: MTU, answers: 'node', random: () => 0 });
    const subnet = parsePrefix('10.5.1.0/24');
    const peer = parseIp('10.0.0.1');
    table.setPeers({ set: [{ subnet, peer }], removed: [] }, 0);
    const { target, sequence } = table.ask(0)!;
    expect(target).toBe(parseIp('10.5.1.1'));
    // A router on the way may say the same.
    expect(table.answered({ sequence, from: parseIp('10.0.0.254'), unreachable: true }, 1)).toBe(false);
    expect(table.answered({ sequence, from: peer, unreachable: true }, 1)).toBe(true);
  });

  test('asks a new peer at once, each second until it answers, and then after its interval', () => {
    const table = make();
    table.setPeers({ set: [peer(1)], removed: [] }, 1000);
    expect(table.nextAt(0)).toBe(1000);
    expect(table.ask(1000)).toEqual({ target: target(1), sequence: 1, bytes: SMALL_BYTES });
    expect(table.ask(1000)).toBeUndefined();
    expect(table.nextAt(1900)).toBe(2000);
    expect(table.ask(2000)).toMatchObject({ sequence: 2 });
    table.answered({ sequence: 2, from: target(1) }, 2001);
    expect(table.ask(3000)).toMatchObject({ sequence: 3 });
    expect(table.ask(3900)).toBeDefined(); // a large one
    expect(table.ask(7000)).toBeUndefined();
  });

  test('knows the round trip, and for how long a peer has been silent', () => {
    const table = make();
    table.setPeers({ set: [peer(1)], removed: [] }, 0);
    expect(table.report(700)).toMatchObject([{ silentMs: 700, answered: false, rttMs: undefined }]);
    const { sequence } = table.ask(700)!;
    expect(table.answered({ sequence, from: target(1), ageMs: 5 }, 708)).toBe(true);
    expect(table.report(3703)).toMatchObject([{ silentMs: 3000, answered: true, rttMs: 3 }]);
    // A clock that was set meanwhile gives an age that cannot be.
    const again = table.ask(6000)!;
    table.answered({ sequence: again.sequence, from: target(1), ageMs: 50_000 }, 6004);
    expect(table.report(6004)[0]!.rttMs).toBeLessThanOrEqual(4);
  });

  test('accepts no answer of another host, of another question, or twice', () => {
    const table = make();
    table.setPeers({ set: [peer(1), peer(2)], removed: [] }, 0);
    const { sequence } = table.ask(0)!;
    expect(table.answered({ sequence, from: target(2) }, 1)).toBe(false);
    expect(table.answered({ sequence: sequence + 1, from: target(1) }, 1)).toBe(false);
    expect(table.answered({ sequence, from: target(1) }, 1)).toBe(true);
    expect(table.answered({ sequence, from: target(1) }, 1)).toBe(false);
  });

  test.each([1, 10, 1000])('asks %d peers no more than ten times a second, and all of them', (count) => {
    const table = make(Math.random);
    table.setPeers({ set: Array.from({ length: count }, (_, n) => peer(n)), removed: [] }, 0);
    const asked = new Map<bigint | number, number>();
    const seconds = Math.max(20, count / 4);
    let total = 0;
    for (let now = 0; now < seconds * 1000; now += 10) {
      const question = table.ask(now);
      if (question === undefined) continue;
      total++;
      asked.set(question.target, (asked.get(question.target) ?? 0) + 1);
      table.answered({ sequence: question.sequence, from: question.target }, now);
    }
    expect(total).toBeLessThanOrEqual(seconds * 10);
    expect(asked.size).toBe(count);
  });

  /** Wakes in the second minute, as the prober does, when answers take a millisecond. */
  const wakesInAMinute = (table: ReachTable, answers: boolean): number => {
    let wakes = 0;
    let arriving: { sequence: number; from: Ip; at: number }[] = [];
    for (let now = 0; now < 120_000; now = Math.max(table.nextAt(now), now + 1)) {
      for (const { sequence, from, at } of arriving.filter(({ at }) => at <= now)) {
        table.answered({ sequence, from, ageMs: now - at }, now);
      }
      arriving = arriving.filter(({ at }) => at > now);
      table.expire(now);
      const question = table.ask(now);
      if (question && answers) arriving.push({ sequence: question.sequence, from: question.target, at: now + 1 });
      if (now >= 60_000) wakes++;
    }
    return wakes;
  };

  test.each([
    [1, true, 15],
    [10, true, 150],
    [1000, true, 600],
    [1, false, 15],
    [1000, false, 600],
  ])('%d peers that answer (%p) cause no more wake-ups in a minute than questions', (count, answers, most) => {
    const table = make();
    table.setPeers({ set: Array.from({ length: count }, (_, n) => peer(n)), removed: [] }, 0);
    expect(wakesInAMinute(table, answers)).toBeLessThanOrEqual(most);
    if (answers) expect(table.report(120_000).filter(({ rttMs }) => rttMs === 1).length).toBe(count);
  });

  test('looks soon for the first answer of a new peer, and says that it came', () => {
    const table = make();
    table.setPeers({ set: [peer(1)], removed: [] }, 0);
    const { sequence } = table.ask(0)!;
    expect([0, 5, 20, 80].map((now) => table.nextAt(now))).toEqual([5, 20, 80, 320]);
    expect(table.takeUrgentAnswer()).toBe(false);
    table.answered({ sequence, from: target(1) }, 81);
    expect([table.takeUrgentAnswer(), table.takeUrgentAnswer()]).toEqual([true, false]);
    const second = table.ask(5000)!;
    table.answered({ sequence: second.sequence, from: target(1) }, 5001);
    expect(table.takeUrgentAnswer()).toBe(false);
  });

  test('sends a large packet after the first answer, and finds a path that loses them', () => {
    const table = make();
    table.setPeers({ set: [peer(1)], removed: [] }, 0);
    const large: number[] = [];
    let lost = true;
    for (let now = 0; now < 200_000; now += 50) {
      table.expire(now);
      const question = table.ask(now);
      if (question?.bytes === MTU) large.push(now);
      if (question && !(lost && question.bytes === MTU))
        table.answered({ sequence: question.sequence, from: question.target }, now + 1);
      if (now === 30_000) {
        expect(table.report(now)).toMatchObject([{ pathMtu: 'lost', answered: true }]);
        expect(table.report(now)[0]!.silentMs).toBeLessThan(6000);
        lost = false;
      }
    }
    expect(table.report(200_000)).toMatchObject([{ pathMtu: 'passes' }]);
    expect(large.length).toBeLessThan(12);
  });

  test('does not blame the path of a peer that answers nothing', () => {
    const table = make();
    table.setPeers({ set: [peer(1)], removed: [] }, 0);
    const first = table.ask(0)!;
    table.answered({ sequence: first.sequence, from: first.target }, 1);
    for (let now = 100; now < 60_000; now += 100) {
      table.expire(now);
      table.ask(now);
    }
    expect(table.report(60_000)).toMatchObject([{ pathMtu: 'unknown', answered: true }]);
    expect(table.report(60_000)[0]!.silentMs).toBe(59_999);
  });

  test('keeps what it knows of peers that stay, and forgets those that go', () => {
    const table = make();
    table.setPeers({ set: [peer(1), peer(2)], removed: [] }, 0);
    const { sequence } = table.ask(0)!;
    table.answered({ sequence, from: target(1) }, 1);
    table.setPeers({ set: [peer(3)], removed: [peer(2).subnet] }, 5);
    expect(table.report(5).map(({ answered }) => answered)).toEqual([true, false]);
    table.setPeers({ set: [], removed: [peer(1).subnet, peer(3).subnet] }, 6);
    expect([table.report(6), table.nextAt(6), table.ask(1e6)]).toEqual([[], Number.POSITIVE_INFINITY, undefined]);
    // The same subnet at another address is another node.
    table.setPeers({ set: [peer(1)], removed: [] }, 7);
    table.answered({ sequence: table.ask(200)!.sequence, from: target(1) }, 201);
    table.setPeers({ set: [{ ...peer(1), peer: parseIp('10.64.9.9') }], removed: [] }, 202);
    expect(table.report(202)).toMatchObject([{ answered: false }]);
    expect(table.ask(300)).toMatchObject({ target: target(1) });
  });

  test('asks at the new MTU when that of the overlay changes, and forgets what it knew of the paths', () => {
    const table = make();
    table.setPeers({ set: [peer(1)], removed: [] }, 0);
    table.answered({ sequence: table.ask(0)!.sequence, from: target(1) }, 1);
    const large = table.ask(5000)!;
    expect(large.bytes).toBe(MTU);
    table.answered({ sequence: large.sequence, from: target(1) }, 5001);
    expect(table.report(5001)[0]!.pathMtu).toBe('passes');
    table.setMtu(1372, 5002);
    expect(table.report(5002)[0]!.pathMtu).toBe('unknown');
    expect(table.ask(10_000)!.bytes).toBe(1372);
    // The answer to a question of the size before says nothing of this one.
    table.setMtu(1472, 10_001);
    expect(table.answered({ sequence: table.ask(10_200)!.sequence - 1, from: target(1) }, 10_201)).toBe(false);
    table.setMtu(1472, 10_300);
    expect(table.mtu).toBe(1472);
  });
});
