/** A flanneld of the udp backend takes over the device and the socket of the one before: packets wait in them meanwhile. */
import { rmSync } from 'node:fs';
import path from 'node:path';
import { Cluster, type Node, PREFIX, until } from './support/cluster.ts';
import { bundleFlanneld } from './support/flanneld-bundle.ts';
import { NotifySocket } from './support/notify-socket.ts';
import { type Journey, printJourneys, startNumbered } from './support/numbered.ts';

jest.setTimeout(120_000);

const config = (more: object = {}) => JSON.stringify({ Network: '10.5.0.0/16', Backend: { Type: 'udp', ...more } });
/** What an engine reads from the device before it sends. */
const BATCH = 64;

let cluster: Cluster;
let systemd: NotifySocket;
let [a, b] = [] as unknown as [Node, Node];

beforeAll(async () => {
  cluster = await Cluster.create(await bundleFlanneld(), 2);
  cluster.etcd.put(`${PREFIX}/config`, config());
  [a, b] = cluster.nodes as [Node, Node];
  systemd = new NotifySocket(path.join(cluster.directory, 'notify'));
  start();
  b.start();
  for (const node of cluster.nodes) {
    await node.untilReady();
    node.addPodAddress();
  }
  await until(() => a.canPing(b) && b.canPing(a));
});
afterAll(async () => {
  const { program } = cluster;
  systemd.close();
  await cluster.destroy();
  rmSync(path.dirname(program), { recursive: true, force: true });
});

/** As systemd starts a service again. */
function start(): void {
  a.start([], { NOTIFY_SOCKET: systemd.path }, systemd.kept());
}

/** What becomes of datagrams both ways while `change` happens. */
async function during(change: () => Promise<void>): Promise<readonly Journey[]> {
  const stopNumbered = await startNumbered(a.place(a.podAddress), b.place(b.podAddress), { flows: 2, everyMs: 20 });
  await new Promise((resolve) => setTimeout(resolve, 300));
  await change();
  await a.untilReady();
  await new Promise((resolve) => setTimeout(resolve, 300));
  return stopNumbered();
}

/** Counters of packets that the daemon or the kernel gave up at the device and the socket. */
const drops = (node: Node): string[] =>
  node.get('metrics').match(/^flannel_engine_\w*drop\w*(?:\{.*\})? [1-9].*$/gm) ?? [];

const deviceIndex = (): string => a.ip('-o', 'link', 'show', 'flannel0').split(':')[0]!;

test('a restart loses no packet, and keeps the order of each flow', async () => {
  const device = deviceIndex();
  const journeys = await during(async () => {
    expect(await a.stop()).toMatchObject({ code: 0 });
    start();
  });
  printJourneys('a restart of udp', journeys);
  for (const { sent, ...trouble } of journeys) {
    expect(sent).toBeGreaterThan(25);
    expect(trouble).toEqual({ lost: [], duplicates: 0, late: 0 });
  }
  expect(deviceIndex()).toBe(device);
  expect(a.logged('Taking over device flannel0')).toBe(1);
  expect([a, b].flatMap(drops)).toEqual([]);
});

test('after kill -9 what was on its way in flanneld is lost, and nothing more', async () => {
  const device = deviceIndex();
  const journeys = await during(async () => {
    await a.kill();
    start();
  });
  printJourneys('kill -9 of udp', journeys);
  expect(journeys.reduce((sum, { lost }) => sum + lost.length, 0)).toBeLessThanOrEqual(2 * BATCH);
  for (const { lost } of journeys) expect(lost.at(-1)! - lost[0]! || 0).toBeLessThan(100);
  expect(deviceIndex()).toBe(device);
});

test('a device that was deleted meanwhile is made anew', async () => {
  await a.stop();
  a.ip('link', 'delete', 'flannel0');
  start();
  await a.untilReady();
  await until(() => a.canPing(b));
  expect(a.logged('is gone, or was made for other settings')).toBe(1);
});

test('a device for other settings is replaced by one of the same name', async () => {
  const device = deviceIndex();
  await a.stop();
  cluster.etcd.put(`${PREFIX}/config`, config({ Queues: 2 }));
  start();
  // It waits for systemd, which is this process here, to let go of the old one: it must not be kept by asking whether it is ready.
  await until(() => a.logged('was made for other settings') === 1 && a.logged('The engine runs') === 1);
  await a.untilReady();
  expect(a.ip('-d', 'link', 'show', 'flannel0')).toContain('multi_queue');
  expect(deviceIndex()).not.toBe(device);
  await until(() => a.canPing(b));
});

test('another address is listened at by another socket', async () => {
  await a.stop();
  cluster.etcd.put(`${PREFIX}/config`, config({ Queues: 2, Port: 8300 }));
  await b.stop();
  b.start();
  start();
  for (const node of [a, b]) await node.untilReady();
  expect(a.run('ss', '-Hlun')).toContain(`${a.address}:8300`);
  await until(() => a.canPing(b));
  await until(() => !a.run('ss', '-Hlun').includes(`${a.address}:8285`));
});

test('another backend leaves the device neither on the node nor in the store', async () => {
  cluster.etcd.put(`${PREFIX}/config`, '{"Network":"10.5.0.0/16","Backend":{"Type":"host-gw"}}');
  await until(() => a.ip('route').includes('proto 241') && a.canPing(b));
  await until(() => !a.ip('-br', 'link').includes('flannel0'));
  cluster.etcd.put(`${PREFIX}/config`, config());
  await until(() => a.ip('-br', 'link').includes('flannel0') && a.canPing(b));
  await a.untilReady();
});

test('when the service is not started again, the device is gone', async () => {
  await a.stop();
  expect([...systemd.kept().keys()].sort()).toEqual(['flannel-device', 'flannel-socket']);
  expect(a.ip('-o', 'link', 'show')).toContain('flannel0');
  systemd.dropKept();
  expect(a.ip('-o', 'link', 'show')).not.toContain('flannel0');
});
