import { readdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { Cluster, type Node, PREFIX, until } from './support/cluster.ts';
import { bundleFlanneld } from './support/flanneld-bundle.ts';
import { startNumbered } from './support/numbered.ts';

jest.setTimeout(120_000);

const config = (more: string) => `{"Network":"10.5.0.0/16","Backend":{"Type":"udp","Queues":2${more}}}`;

let cluster: Cluster;
let [a, b] = [] as unknown as [Node, Node];

beforeAll(async () => {
  cluster = await Cluster.create(await bundleFlanneld(), 2);
  cluster.etcd.put(`${PREFIX}/config`, config(''));
  [a, b] = cluster.nodes as [Node, Node];
  a.start();
  b.start(['-engine-queues=3']);
  for (const node of cluster.nodes) {
    await node.untilReady();
    node.addPodAddress();
  }
});
afterAll(async () => {
  const { program } = cluster;
  await cluster.destroy();
  rmSync(path.dirname(program), { recursive: true, force: true });
});

function threads(node: Node): number {
  const tasks = `/proc/${node.pid}/task`;
  return readdirSync(tasks).filter((task) => readFileSync(`${tasks}/${task}/comm`, 'utf8') === 'engine\n').length;
}

const deviceQueues = (node: Node): number =>
  Number(/numqueues (\d+)/.exec(node.ip('-d', 'link', 'show', 'flannel0'))?.[1] ?? 1);
const sockets = (node: Node): number =>
  node
    .run('sh', '-c', 'cat /proc/net/udp')
    .split('\n')
    .filter((line) => line.includes(':205D ')).length; // port 8285

test('each queue of the device has a thread and a socket', () => {
  expect([deviceQueues(a), threads(a), sockets(a)]).toEqual([2, 2, 2]);
  expect([deviceQueues(b), threads(b), sockets(b)]).toEqual([3, 3, 3]);
});

test('flows of whatever queue pass, in order', async () => {
  await until(() => a.canPing(b) && b.canPing(a));
  // Each flow has ports, and so a hash, of its own.
  const options = { flows: 16, everyMs: 2, greet: true };
  const stopNumbered = await startNumbered(a.place(a.podAddress), b.place(b.podAddress), options);
  await new Promise((resolve) => setTimeout(resolve, 2000));
  const journeys = await stopNumbered();
  expect(journeys).toHaveLength(32);
  for (const { sent, ...trouble } of journeys) {
    expect(sent).toBeGreaterThan(30);
    expect(trouble).toEqual({ lost: [], duplicates: 0, late: 0 });
  }
});

test('the reference engine takes over with one queue, and hands over again', async () => {
  cluster.etcd.put(`${PREFIX}/config`, config(',"Engine":"reference"'));
  await until(() => threads(a) === 1 && deviceQueues(a) === 1 && sockets(a) === 1);
  await until(() => a.canPing(b) && b.canPing(a));
  cluster.etcd.put(`${PREFIX}/config`, config(''));
  await until(() => threads(a) === 2 && deviceQueues(a) === 2 && sockets(a) === 2);
  await until(() => a.canPing(b) && b.canPing(a));
});
