/** A flanneld takes over from one that runs: packets go on, and whoever of the two is lost, the other does the work. */
import { readFileSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import { type Before, Cluster, type Node, PREFIX, until } from './support/cluster.ts';
import { bundleFlanneld, compileFlanneld } from './support/flanneld-bundle.ts';
import { type Journey, printJourneys, startNumbered } from './support/numbered.ts';

jest.setTimeout(120_000);

const CONFIG = '{"Network":"10.5.0.0/16","Backend":{"Type":"udp"}}';

/** What the one before says at the end. */
const TAKEN = 'Another flanneld has taken over';
const BACK = 'The flanneld that was to take over has not';

let cluster: Cluster;
let [a, b] = [] as unknown as [Node, Node];

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const deviceIndex = (): string => a.ip('-o', 'link', 'show', 'flannel0').split(':')[0]!;

/** What becomes of datagrams both ways while `change` happens. */
async function during(change: () => Promise<void>): Promise<readonly Journey[]> {
  const stopNumbered = await startNumbered(a.place(a.podAddress), b.place(b.podAddress), { flows: 2, everyMs: 5 });
  await pause(300);
  await change();
  await pause(300);
  return stopNumbered();
}

/** Called at once after its start: the one before may have been taken over from earlier, and have gone on. */
async function untilTaken(before: Before): Promise<void> {
  const times = before.logged(TAKEN);
  await until(() => before.logged(TAKEN) > times);
}

function expectNothingLost(what: string, journeys: readonly Journey[]): void {
  printJourneys(what, journeys);
  for (const { sent, ...trouble } of journeys) {
    expect(sent).toBeGreaterThan(50);
    expect(trouble).toEqual({ lost: [], duplicates: 0, late: 0 });
  }
}

describe.each([
  ['Node.js', bundleFlanneld],
  ['a binary compiled by Bun', async () => compileFlanneld()],
])('with %s', (_, make) => {
  beforeAll(async () => {
    cluster = await Cluster.create(await make(), 2);
    cluster.etcd.put(`${PREFIX}/config`, CONFIG);
    [a, b] = cluster.nodes as [Node, Node];
    for (const node of cluster.nodes) node.start();
    for (const node of cluster.nodes) {
      await node.untilReady();
      node.addPodAddress();
    }
    await until(() => a.canPing(b) && b.canPing(a));
  });
  afterAll(async () => {
    const { program } = cluster;
    await cluster.destroy();
    rmSync(path.dirname(program), { recursive: true, force: true });
  });

  test('a take-over loses no packet and keeps the order of each flow; the one before waits for its end', async () => {
    const device = deviceIndex();
    let before: Before | undefined;
    const journeys = await during(async () => {
      before = a.startBeside();
      await untilTaken(before);
      await a.untilReady();
      expect(await before.stop()).toEqual({ code: 0, signal: null });
    });
    expectNothingLost('a take-over of udp', journeys);
    expect(deviceIndex()).toBe(device);
    expect(a.logged('Taking over device flannel0')).toBe(1);
    expect(a.logged('Changed the kernel')).toBe(0);
    // What is kept of the lease is what the next one wrote.
    const { lease } = JSON.parse(readFileSync(a.subnetFile.replace('.env', '.state.json'), 'utf8'));
    const { kvs } = JSON.parse(cluster.etcd.etcdctl('get', lease.key, '-w', 'json'));
    expect(lease.modRevision).toBe(String(kvs[0].mod_revision));
    expect(a.run('ss', '-Hlun', 'sport', '=', ':8285').trim().split('\n')).toHaveLength(1);
  });

  test('only root may ask for it', () => {
    const { mode, uid } = statSync(a.subnetFile.replace('.env', '.handover'));
    expect([mode & 0o777, uid]).toEqual([0o600, 0]);
  });

  test('a program that ends at its start changes nothing, and the one before is not even asked', async () => {
    const journeys = await during(async () => {
      const before = a.startBeside(['-etcd-endpoints=nonsense://']);
      expect((await a.untilEnded()).code).toBe(2);
      before.comeBack();
    });
    expectNothingLost('a program that ends at its start', journeys);
    expect(a.logged('takes over')).toBe(0);
  });

  test('the one before goes on when the next one ends after all, and loses nothing', async () => {
    let before: Before | undefined;
    const journeys = await during(async () => {
      before = a.startBeside();
      await untilTaken(before);
      await a.stop();
      before.comeBack();
      await until(() => a.logged(BACK) === 1);
      await a.untilReady();
    });
    expectNothingLost('a take-over that is taken back', journeys);
    await until(() => a.canPing(b) && b.canPing(a));
    expect(a.logged('another node writes the lease')).toBe(0);
    expect(
      a.run('sh', '-c', `curl -s --unix-socket ${a.subnetFile.replace('.env', '.sock')} http://flanneld/readyz`),
    ).toBe('flanneld is ready\n');
  });

  test.each([30, 110, 190, 330])('the next one killed %i ms after its start leaves one that goes on', async (ms) => {
    const before = a.startBeside();
    await pause(ms);
    await a.kill();
    before.comeBack();
    await until(() => a.logged(BACK) === a.logged('takes over'));
    await a.untilReady();
    await until(() => a.canPing(b) && b.canPing(a));
  });

  test.each([30, 110, 190, 330])(
    'the one before killed %i ms after the start of the next one leaves that one',
    async (ms) => {
      const before = a.startBeside(['-healthz-port=0']);
      await pause(ms);
      await before.stop('SIGKILL');
      // It may have met a port or a device that were about to be free.
      if (await Promise.race([a.untilEnded(), pause(1000)])) a.start();
      await until(() => a.canPing(b) && b.canPing(a));
      await a.stop();
      await a.startReady();
    },
  );

  test('while etcd is frozen it takes over with the lease that was kept, and nothing is lost', async () => {
    cluster.etcd.pause();
    let before: Before | undefined;
    try {
      const journeys = await during(async () => {
        before = a.startBeside();
        await untilTaken(before);
        await before.stop();
      });
      expectNothingLost('a take-over while etcd is frozen', journeys);
    } finally {
      cluster.etcd.resume();
    }
    await a.untilReady();
  });

  test('a device for other settings is made anew, and the one before ends', async () => {
    const before = a.startBeside(['-engine-queues=2']);
    await a.untilReady();
    expect((await before.stop('SIGCONT')).code).toBe(0);
    expect(a.ip('-d', 'link', 'show', 'flannel0')).toContain('multi_queue');
    await until(() => a.canPing(b) && b.canPing(a));
    await a.stop();
    await a.startReady();
  });
});
