import { formatLeaseSubnets, type Lease } from '@flannel-ts/flannel/lease';
import { parseIp } from '@flannel-ts/inet/ip';
import type { Ipv4 } from '@flannel-ts/inet/ipv4';
import { parsePrefix } from '@flannel-ts/inet/prefix';
import { Departures, withGrace } from './departures.ts';
import type { LeaseBatch } from './manager.ts';
import { createLeaseTable } from './table.ts';

const lease = (n: number, node = n): Lease => ({
  subnet: parsePrefix(`10.5.${n}.0/24`),
  attributes: { publicIp: (parseIp('192.168.0.0') + node) as Ipv4, backendType: '' },
});
const snapshot = (...leases: Lease[]): LeaseBatch => ({ kind: 'snapshot', leases });
const changes = (changed: Lease[], removed: Lease[]): LeaseBatch => ({ kind: 'changes', changed, removed });
const removedBy = (batch: LeaseBatch) => (batch.kind === 'changes' ? batch.removed.map(formatLeaseSubnets) : undefined);

describe('a lease that is gone', () => {
  let departures: Pick<Departures, 'apply' | 'takeDue' | 'due'>;
  beforeEach(() => {
    const table = createLeaseTable();
    const inner = new Departures(table, 100);
    departures = {
      get due() {
        return inner.due;
      },
      takeDue(now) {
        const removed = inner.takeDue(now);
        table.apply({ kind: 'changes', changed: [], removed });
        return removed;
      },
      apply(batch, now) {
        const applied = inner.apply(batch, now);
        table.apply(applied);
        return applied;
      },
    };
    departures.apply(snapshot(lease(1), lease(2)), 0);
  });

  test('is removed after a while', () => {
    expect(removedBy(departures.apply(changes([], [lease(1)]), 10))).toEqual([]);
    expect(departures.due).toBe(110);
    expect(departures.takeDue(109)).toEqual([]);
    expect(departures.takeDue(110)).toEqual([lease(1)]);
    expect(departures.due).toBeUndefined();
  });

  test('and comes back is never removed', () => {
    departures.apply(changes([], [lease(1)]), 10);
    expect(departures.apply(changes([lease(1)], []), 20)).toEqual(changes([lease(1)], []));
    expect(departures.due).toBeUndefined();
  });

  test('from a snapshot stays in it for a while', () => {
    expect(departures.apply(snapshot(lease(2)), 10)).toEqual(snapshot(lease(2), lease(1)));
    expect(departures.takeDue(110)).toEqual([lease(1)]);
  });

  test('is removed at once when its node has another one, whichever is told first', () => {
    expect(removedBy(departures.apply(changes([lease(3, 1)], [lease(1)]), 10))).toEqual(['10.5.1.0/24']);
    departures.apply(changes([lease(4, 2)], []), 20);
    expect(removedBy(departures.apply(changes([], [lease(2)]), 30))).toEqual(['10.5.2.0/24']);
  });

  test('and becomes that of another node is this one alone', () => {
    departures.apply(changes([], [lease(1)]), 10);
    expect(departures.apply(changes([lease(1, 9)], []), 20)).toEqual(changes([lease(1, 9)], []));
    expect(departures.due).toBeUndefined();
  });

  test('and was not known is of no interest', () => {
    expect(removedBy(departures.apply(changes([], [lease(7)]), 10))).toEqual([]);
    expect(departures.due).toBeUndefined();
  });
});

test('withGrace() passes on what comes, and what is over when nothing comes any more', async () => {
  const stop = new AbortController();
  const given: LeaseBatch[] = [snapshot(lease(1)), changes([], [lease(1)])];
  const batches: LeaseBatch[] = [];
  let signalled = false;
  async function* open(signal: AbortSignal): AsyncGenerator<LeaseBatch> {
    yield* given;
    await new Promise((resolve) => signal.addEventListener('abort', resolve));
    signalled = true;
  }
  const table = createLeaseTable();
  for await (const batch of withGrace(open, table, stop.signal, 20)) {
    batches.push(batch);
    table.apply(batch);
    if (batches.length === 3) break;
  }
  expect(batches).toEqual([snapshot(lease(1)), changes([], []), changes([], [lease(1)])]);
  await Promise.resolve();
  expect(signalled).toBe(true);
});

test('withGrace() rejects with what the source fails of', async () => {
  async function* open(): AsyncGenerator<LeaseBatch> {
    yield snapshot(lease(1));
    throw new Error('broken');
  }
  const read = async () => {
    for await (const _ of withGrace(open, createLeaseTable(), new AbortController().signal))
      await new Promise((resolve) => setTimeout(resolve, 5));
  };
  await expect(read()).rejects.toThrow('broken');
});
