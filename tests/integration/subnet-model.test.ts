/**
 * A model of leases: several nodes and a real etcd with short lifetimes, under faults: some sequences in every run, and
 * random ones (FLANNEL_MODEL_RUNS, 1). What must hold:
 * - a node never writes over a key that another node has;
 * - no two nodes count on one subnet at a time, as long as etcd has forgotten nothing (a key deleted, an older snapshot restored);
 * - a reservation is never lost nor given an end, whatever happens;
 * - once the faults end, every node is well, holds a subnet that no other node holds, in etcd as by its own belief, and knows all
 *   others. (A node that gave up in words is started again, as its supervisor does.)
 */
import { setMaxListeners } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { formatLeaseKey } from '@flannel-ts/flannel/lease';
import fc from 'fast-check';
import { pino } from 'pino';
import { EtcdClient, prefixRangeEnd } from '../../daemon/src/subnet/etcd/client.ts';
import { EtcdSubnetManager } from '../../daemon/src/subnet/etcd/manager.ts';
import { type WatchTimings, watchRange } from '../../daemon/src/subnet/etcd/watch.ts';
import type { Membership } from '../../daemon/src/subnet/manager.ts';
import { Follower, leaseValue, request } from '../../daemon/testing/subnet/compliance.ts';
import { ClockSteps } from './support/clock-steps.ts';
import { EtcdServer } from './support/etcd-server.ts';
import { TcpProxy } from './support/tcp-proxy.ts';

const PREFIX = '/coreos.com/network';
const RESERVED = `${PREFIX}/subnets/10.5.0.48-28`;
const TIMINGS: WatchTimings = {
  confirmMs: 2000,
  probeMs: 1000,
  relistMs: 600_000,
  relistSoonMs: 3000,
  retryFirstMs: 50,
  retryMostMs: 500,
};
const NODES = 3;
const RUNS = Number(process.env.FLANNEL_MODEL_RUNS ?? 1);
const TTL_SECONDS = 5;
const HOUR_MS = 3_600_000;

class ModelNode {
  trouble: string | undefined;
  /** Why it gave up, or undefined. */
  gaveUp: string | undefined;
  follower: Follower | undefined;
  membership: Membership | undefined;
  private manager: EtcdSubnetManager | undefined;
  private stopping = new AbortController();
  private done: Promise<void> = Promise.resolve();

  constructor(
    readonly n: number,
    readonly proxy: TcpProxy,
    private readonly directory: string,
  ) {}

  start(): void {
    this.stopping = new AbortController();
    setMaxListeners(0, this.stopping.signal);
    this.gaveUp = undefined;
    const options = { endpoints: [this.proxy.endpoint], prefix: PREFIX };
    const manager = new EtcdSubnetManager(options, pino({ level: 'silent' }), {
      timings: TIMINGS,
      ttlSeconds: TTL_SECONDS,
      random: () => 0, // all choose the same subnet: the first that is free
      keptAfterMs: 500,
      keptState: { file: path.join(this.directory, `${this.n}.json`) },
    });
    this.manager = manager;
    this.follower = new Follower(manager);
    const { signal } = this.stopping;
    this.done = (async () => {
      this.membership = await manager.join(await request(manager, this.n), signal);
      await this.membership.hold(signal, (trouble) => {
        this.trouble = trouble;
      });
    })().catch((error: Error) => {
      if (!signal.aborted) this.gaveUp = error.message;
    });
  }

  /** As by SIGKILL: what it holds stays in etcd. */
  async crash(): Promise<void> {
    this.stopping.abort();
    this.manager?.close();
    this.membership = undefined;
    await this.follower?.stop();
    await this.done;
  }

  get key(): string | undefined {
    return this.membership && `${PREFIX}/subnets/${formatLeaseKey(this.membership.lease)}`;
  }

  /** By what it knows, its lease cannot have ended yet. */
  get counts(): boolean {
    if (this.membership === undefined || this.gaveUp !== undefined) return false;
    return (this.membership.end?.() ?? Number.POSITIVE_INFINITY) > Date.now();
  }
}

/** Follows the leases beside the nodes, and never through their proxies. */
class Observer {
  readonly overwritten: string[] = [];
  readonly doubled: string[] = [];
  /** Etcd has forgotten something: whoever counted on it is not to blame. */
  forgotten = false;
  private readonly client: EtcdClient;
  private following = new AbortController();
  private done: Promise<void>;
  private readonly sampling: NodeJS.Timeout;

  constructor(server: EtcdServer, nodes: readonly ModelNode[]) {
    this.client = new EtcdClient({ endpoints: [server.endpoint] });
    this.done = this.follow(this.following.signal);
    this.sampling = setInterval(() => this.sample(nodes), 20);
  }

  /** Before an older snapshot is restored: with it, keys change their owners. */
  async beginAgain(restore: () => Promise<void>): Promise<void> {
    this.following.abort();
    await this.done;
    this.forgotten = true;
    await restore();
    this.following = new AbortController();
    this.done = this.follow(this.following.signal);
  }

  async stop(): Promise<void> {
    clearInterval(this.sampling);
    this.following.abort();
    await this.done;
    this.client.close();
  }

  private async follow(signal: AbortSignal): Promise<void> {
    const range = { key: `${PREFIX}/subnets/`, rangeEnd: prefixRangeEnd(`${PREFIX}/subnets/`) };
    const log = pino({ level: 'silent' });
    let values = new Map<string, string>();
    for await (const events of watchRange(this.client, range, { log, timings: TIMINGS }, signal)) {
      for (const event of events) {
        if (event.type === 'snapshot') values = new Map(event.keyValues.map(({ key, value }) => [key, value]));
        else if (event.type === 'delete') values.delete(event.key);
        else {
          const { key, value } = event.keyValue;
          const before = values.get(key);
          if (before !== undefined && before !== value) this.overwritten.push(`${key}: ${before} became ${value}`);
          values.set(key, value);
        }
      }
    }
  }

  private sample(nodes: readonly ModelNode[]): void {
    if (this.forgotten) return;
    const keys = nodes.filter(({ counts }) => counts).map(({ key }) => key!);
    this.doubled.push(...keys.filter((key, index) => keys.indexOf(key) !== index));
  }
}

type NodeFault = 'cut' | 'mend' | 'restart' | 'delete';
type EtcdFault =
  | 'pause'
  | 'kill etcd'
  | 'compact'
  | 'outlast the leases'
  | 'fill etcd'
  | 'make room'
  | 'save a snapshot'
  | 'restore the snapshot';
type Fault =
  | { readonly kind: NodeFault; readonly node: number }
  | { readonly kind: EtcdFault }
  | { readonly kind: 'step the clock'; readonly hours: number };

const fault: fc.Arbitrary<Fault> = fc.oneof(
  fc.record({ kind: fc.constantFrom<NodeFault>('cut', 'mend', 'restart', 'delete'), node: fc.nat(NODES - 1) }),
  fc.record({
    kind: fc.constantFrom<EtcdFault>(
      'pause',
      'kill etcd',
      'compact',
      'outlast the leases',
      'fill etcd',
      'make room',
      'save a snapshot',
      'restore the snapshot',
    ),
  }),
  fc.record({ kind: fc.constant('step the clock' as const), hours: fc.constantFrom(-48, -1, 1, 48) }),
);

/** What random sequences of a few runs may leave out. */
const ALWAYS: readonly (readonly [what: string, faults: readonly Fault[]])[] = [
  [
    'a subnet that another node gets while its owner is cut off',
    [
      { kind: 'cut', node: 0 },
      { kind: 'cut', node: 1 },
      { kind: 'outlast the leases' },
      { kind: 'mend', node: 1 },
      { kind: 'restart', node: 1 },
      { kind: 'pause' },
    ],
  ],
  [
    'a lease lost, and etcd started again, while there is no space',
    [
      { kind: 'fill etcd' },
      { kind: 'delete', node: 0 },
      { kind: 'kill etcd' },
      { kind: 'restart', node: 1 },
      { kind: 'outlast the leases' },
    ],
  ],
  [
    'revisions that go back, and come to those that a node knows with other keys',
    [
      { kind: 'save a snapshot' },
      { kind: 'delete', node: 0 },
      { kind: 'restart', node: 1 },
      { kind: 'cut', node: 0 },
      { kind: 'restore the snapshot' },
      { kind: 'restart', node: 2 },
    ],
  ],
  [
    'a clock that is set back and forth by days',
    [
      { kind: 'step the clock', hours: 48 },
      { kind: 'restart', node: 0 },
      { kind: 'cut', node: 1 },
      { kind: 'outlast the leases' },
      { kind: 'step the clock', hours: -96 },
    ],
  ],
];

jest.setTimeout(60_000 + (ALWAYS.length + RUNS) * 60_000);

interface World {
  readonly nodes: readonly ModelNode[];
  readonly server: EtcdServer;
  readonly observer: Observer;
  readonly clock: ClockSteps;
}

async function inject(each: Fault, { nodes, server, observer, clock }: World): Promise<void> {
  switch (each.kind) {
    case 'cut':
      return nodes[each.node]!.proxy.cut();
    case 'mend':
      return nodes[each.node]!.proxy.mend();
    case 'restart':
      await nodes[each.node]!.crash();
      return nodes[each.node]!.start();
    case 'delete': {
      const { key } = nodes[each.node]!;
      // Whoever deletes a reservation wants it gone.
      if (key === undefined || key === RESERVED) return;
      observer.forgotten = true;
      server.etcdctl('del', key);
      return;
    }
    case 'pause':
      server.pause();
      await sleep(1500);
      return server.resume();
    case 'kill etcd':
      await server.stop();
      return server.start();
    case 'compact':
      return server.compact();
    case 'outlast the leases':
      return sleep((TTL_SECONDS + 0.5) * 1000);
    case 'fill etcd':
      return server.fill();
    case 'make room':
      return server.makeRoom();
    case 'save a snapshot':
      return server.saveData();
    case 'restore the snapshot':
      return observer.beginAgain(() => server.restore());
    case 'step the clock':
      return clock.step(each.hours * HOUR_MS);
  }
}

async function run(faults: readonly Fault[]): Promise<void> {
  const directory = mkdtempSync(path.join(tmpdir(), 'fltest-model-'));
  const server = await EtcdServer.start({ flags: ['--quota-backend-bytes=4000000'] });
  server.put(`${PREFIX}/config`, '{"Network":"10.5.0.0/26","SubnetLen":28}');
  server.put(RESERVED, leaseValue(NODES)); // the last node's
  const proxies = await Promise.all(Array.from({ length: NODES }, () => TcpProxy.start(server.clientPort)));
  const nodes = proxies.map((proxy, n) => new ModelNode(n + 1, proxy, directory));
  const clock = new ClockSteps();
  const observer = new Observer(server, nodes);
  const world = { nodes, server, observer, clock };
  try {
    for (const each of nodes) each.start();
    await until(() => nodes.every(({ membership }) => membership !== undefined));
    server.saveData();
    for (const each of faults) {
      await inject(each, world);
      expectSafe(world);
    }
    for (const { proxy } of nodes) proxy.mend();
    server.makeRoom();
    // Who gave up is started again by its supervisor.
    while (!isWell(nodes, server)) {
      expectSafe(world);
      for (const each of nodes.filter(({ gaveUp }) => gaveUp !== undefined)) {
        await each.crash();
        each.start();
      }
      await sleep(50);
    }
    if (faults.some(({ kind }) => kind === 'step the clock')) await expectRenewals(nodes, server);
    expectSafe(world);
  } finally {
    clock.restore();
    await observer.stop();
    for (const each of nodes) await each.crash();
    for (const proxy of proxies) await proxy.close();
    await server.destroy();
    rmSync(directory, { recursive: true, force: true });
  }
}

test.each(ALWAYS)('nodes and etcd under %s', async (_, faults) => {
  await run(faults);
});

test('nodes and etcd under random faults: one owner for each subnet, no lost reservation, an end to all trouble', async () => {
  await fc.assert(fc.asyncProperty(fc.array(fault, { minLength: 3, maxLength: 6 }), run), {
    numRuns: RUNS,
    endOnFailure: true,
  });
});

function expectSafe({ server, observer }: World): void {
  expect(server.record(RESERVED)).toMatchObject({ value: leaseValue(NODES), leaseId: '0' });
  expect(observer.overwritten).toEqual([]);
  expect(observer.doubled).toEqual([]);
}

/** A node that renews by a clock that was set back loses its lease, and leases anew what it has lost. */
async function expectRenewals(nodes: readonly ModelNode[], server: EtcdServer): Promise<void> {
  const revisions = () => nodes.map(({ key }) => server.record(key!)?.modRevision);
  const before = revisions();
  await sleep((TTL_SECONDS + 1) * 1000);
  expect(revisions()).toEqual(before);
}

function isWell(nodes: readonly ModelNode[], server: EtcdServer): boolean {
  const keys = nodes.map(({ key }) => key);
  if (new Set(keys).size !== nodes.length || keys.includes(undefined)) return false;
  const inEtcd = server.keys(`${PREFIX}/subnets/`).sort();
  if (inEtcd.join() !== [...keys].sort().join()) return false;
  return nodes.every(
    ({ trouble, follower, n, key }) =>
      trouble === undefined && follower!.table.size === nodes.length && server.get(key!) === leaseValue(n),
  );
}

const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** Waits for a condition; jest's own time limit ends a vain wait. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(50);
}
