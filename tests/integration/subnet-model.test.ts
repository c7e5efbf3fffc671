/**
 * A model of leases: several nodes and a real etcd with short lifetimes, under random faults. FLANNEL_MODEL_RUNS raises the
 * number of runs (3). What must hold:
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
import { EtcdSubnetManager } from '../../daemon/src/subnet/etcd/manager.ts';
import type { WatchTimings } from '../../daemon/src/subnet/etcd/watch.ts';
import type { Membership } from '../../daemon/src/subnet/manager.ts';
import { Follower, leaseValue, request } from '../../daemon/testing/subnet/compliance.ts';
import { EtcdServer } from './support/etcd-server.ts';
import { TcpProxy } from './support/tcp-proxy.ts';

const PREFIX = '/coreos.com/network';
const RESERVED = `${PREFIX}/subnets/10.5.0.112-28`;
const TIMINGS: WatchTimings = { confirmMs: 2000, probeMs: 1000, relistMs: 600_000, retryFirstMs: 50, retryMostMs: 500 };
const NODES = 3;
const RUNS = Number(process.env.FLANNEL_MODEL_RUNS ?? 3);

jest.setTimeout(60_000 + RUNS * 60_000);

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
      ttlSeconds: 5,
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
}

type Fault =
  | { readonly kind: 'cut' | 'mend' | 'restart' | 'delete'; readonly node: number }
  | { readonly kind: 'pause' | 'kill etcd' | 'compact' | 'outlast the leases' };

const node = fc.nat(NODES - 1);
const fault: fc.Arbitrary<Fault> = fc.oneof(
  fc.record({ kind: fc.constantFrom('cut', 'mend', 'restart', 'delete' as const), node }) as fc.Arbitrary<Fault>,
  fc.record({
    kind: fc.constantFrom('pause', 'kill etcd', 'compact', 'outlast the leases' as const),
  }) as fc.Arbitrary<Fault>,
);

async function inject(each: Fault, nodes: readonly ModelNode[], server: EtcdServer): Promise<void> {
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
      if (key !== undefined && key !== RESERVED) server.etcdctl('del', key);
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
      return sleep(5500);
  }
}

test('nodes and etcd under faults: one owner for each subnet, no lost reservation, an end to all trouble', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fault, { minLength: 3, maxLength: 6 }), async (faults) => {
      const directory = mkdtempSync(path.join(tmpdir(), 'fltest-model-'));
      const server = await EtcdServer.start();
      server.put(`${PREFIX}/config`, '{"Network":"10.5.0.0/25","SubnetLen":28}');
      server.put(RESERVED, leaseValue(NODES)); // the last node's
      const proxies = await Promise.all(Array.from({ length: NODES }, () => TcpProxy.start(server.clientPort)));
      const nodes = proxies.map((proxy, n) => new ModelNode(n + 1, proxy, directory));
      try {
        for (const each of nodes) each.start();
        await until(() => nodes.every(({ membership }) => membership !== undefined));
        for (const each of faults) {
          await inject(each, nodes, server);
          expectReservation(server);
        }
        for (const { proxy } of nodes) proxy.mend();
        // Who gave up is started again by its supervisor.
        while (!isWell(nodes, server)) {
          for (const each of nodes.filter(({ gaveUp }) => gaveUp !== undefined)) {
            await each.crash();
            each.start();
          }
          await sleep(50);
        }
        expectReservation(server);
      } finally {
        for (const each of nodes) await each.crash();
        for (const proxy of proxies) await proxy.close();
        await server.destroy();
        rmSync(directory, { recursive: true, force: true });
      }
    }),
    { numRuns: RUNS, endOnFailure: true },
  );
});

function expectReservation(server: EtcdServer): void {
  expect(server.record(RESERVED)).toMatchObject({ value: leaseValue(NODES), leaseId: '0' });
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
