import { parseIp } from '@flannel-ts/inet/ip';
import { Control } from './control.ts';
import type { Engine, EngineConfig, EngineCounters } from './engine.ts';
import { joinEngines, withQueues } from './queues.ts';

interface Fake extends Engine {
  readonly calls: string[];
  fail(error: Error): void;
}

function fake(counters: Partial<EngineCounters> = {}): Fake {
  const calls: string[] = [];
  let fail!: (error: Error) => void;
  const failed = new Promise<Error>((resolve) => {
    fail = resolve;
  });
  return {
    calls,
    failed,
    fail,
    setRoutes: (routes) => void calls.push(`routes ${routes.length}`),
    changeRoutes: ({ set }) => void calls.push(`set ${set.length}`),
    setPathLimit: (_, limit) => void calls.push(`limit ${limit}`),
    counters: () => ({ ...new Control().counters(), socketDrops: 0, strayDatagrams: 0, ...counters }),
    stop: async () => void calls.push('stop'),
  };
}

describe('joinEngines()', () => {
  const peer = (value: string, sentPackets: number) =>
    [
      parseIp(value),
      { sentPackets, sentBytes: 10, receivedPackets: 1, receivedBytes: 2, path: pathOf(sentPackets) },
    ] as const;
  const pathOf = (fallbacks: number) => ({ limit: 0, unsegmentedFrom: 1400 + fallbacks, fallbacks, lastErrno: 90 });

  test('adds up counters, altogether, by reason and by peer', () => {
    const none = new Control().counters();
    const a = fake({
      ...{ tunPackets: 2, socketDrops: 3 },
      dropped: { ...none.dropped, no_route: 1 },
      peers: new Map([peer('192.0.2.1', 3)]),
    });
    const b = fake({
      ...{
        tunPackets: 5,
        socketDrops: 4,
        dropped: { ...none.dropped, no_route: 2 },
        lastErrno: 5,
        offloadFallbacks: 1,
      },
      abilities: { ...none.abilities, udpGro: 1 },
      peers: new Map([peer('192.0.2.1', 4), peer('192.0.2.2', 1)]),
    });
    const sums = joinEngines([a, b], () => {}).counters();
    expect(sums).toMatchObject({
      ...{ tunPackets: 7, socketDrops: 7 },
      lastErrno: 5,
      offloadFallbacks: 1,
      dropped: { no_route: 3, too_big: 0 },
    });
    expect(sums.abilities.udpGro).toBe(1);
    expect(sums.peers).toEqual(
      new Map([
        [
          parseIp('192.0.2.1'),
          { sentPackets: 7, sentBytes: 20, receivedPackets: 2, receivedBytes: 4, path: pathOf(4) },
        ],
        peer('192.0.2.2', 1),
      ]),
    );
  });

  test('gives routes and limits to all, and stops all once', async () => {
    const engines = [fake(), fake()];
    const closed: string[] = [];
    const joined = joinEngines(engines, () => void closed.push('closed'));
    joined.setRoutes([]);
    joined.changeRoutes({ set: [], removed: [] });
    joined.setPathLimit(parseIp('192.0.2.1'), 1000);
    await Promise.all([joined.stop(), joined.stop()]);
    expect(engines.map(({ calls }) => calls)).toEqual([
      ['routes 0', 'set 0', 'limit 1000', 'stop'],
      ['routes 0', 'set 0', 'limit 1000', 'stop'],
    ]);
    expect(closed).toEqual(['closed']);
  });

  test('fails when one fails', async () => {
    const engines = [fake(), fake()];
    const error = new Error('The second');
    engines[1]!.fail(error);
    expect(await joinEngines(engines, () => {}).failed).toBe(error);
  });
});

test('withQueues() stops the engines that run when another does not start', async () => {
  const first = fake();
  // Without a device and a socket there is no second queue.
  const start = withQueues(async () => first, 2);
  await expect(start({ tunFd: -1, socketFd: -1 } as EngineConfig)).rejects.toThrow('socket -1');
  expect(first.calls).toEqual(['stop']);
});
