import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Cluster, type Node, PREFIX, until } from './support/cluster.ts';
import { bundleFlanneld, compileFlanneld } from './support/flanneld-bundle.ts';
import { freezeThread } from './support/frozen-thread.ts';
import { now, printJourneys, startNumbered } from './support/numbered.ts';

jest.setTimeout(60_000);

const CONFIG = '{"Network":"10.5.0.0/16","Backend":{"Type":"udp"}}';
/** The engine whose place the test's own takes. */
const REPLACED = ['-engine=reference'];
const programs: string[] = [];
let cluster: Cluster;

/** The letter of proc(5): Z for a process that has ended. */
function stateOf(pid: number): string | undefined {
  return /^State:\t(\w)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
}

async function start(engine: string, nodes: number): Promise<Node[]> {
  const program = await bundleFlanneld({ engine: path.join(__dirname, 'support', engine) });
  programs.push(program);
  cluster = await Cluster.create(program, nodes);
  cluster.etcd.put(`${PREFIX}/config`, CONFIG);
  return cluster.nodes;
}

afterEach(async () => {
  await cluster?.destroy();
  for (const program of programs.splice(0)) rmSync(path.dirname(program), { recursive: true, force: true });
});

test('an engine that dies makes the node unready and is started again, each time', async () => {
  const [a, b] = (await start('mortal-engine.ts', 2)) as [Node, Node];
  const file = path.join(cluster.directory, 'die');
  a.start(REPLACED, { FLTEST_ENGINE_DIES: file });
  b.start(REPLACED, { FLTEST_ENGINE_DIES: `${file}-not` });
  for (const node of [a, b]) {
    await node.untilReady();
    node.addPodAddress();
  }
  await until(() => a.canPing(b));
  for (const time of [1, 2, 3]) {
    writeFileSync(file, '');
    await until(() => a.logged('The engine failed: The file is there') === time);
    // Readiness that changes often is not logged each time.
    if (time === 1) await until(() => a.logged('Not ready: engine') === 1);
    await a.untilReady();
    await until(() => a.canPing(b) && b.canPing(a));
  }
  expect(a.ip('-o', '-4', 'address', 'show', 'flannel0')).toContain('/32'); // the device stayed
});

describe.each([
  ['a Node bundle', (): Promise<string> => bundleFlanneld()],
  ['a binary compiled by Bun', async (): Promise<string> => compileFlanneld()],
])('%s', (_, make) => {
  test.each(['reference', 'fast'])(
    'whose thread of the %s engine is stuck makes the node unready, and ends with 1 for its supervisor to start it again',
    async (engine) => {
      const program = await make();
      programs.push(program);
      cluster = await Cluster.create(program, 1);
      cluster.etcd.put(`${PREFIX}/config`, CONFIG);
      const [node] = cluster.nodes as [Node];
      await node.startReady([`-engine=${engine}`]);
      const thaw = await freezeThread(node.pid!, 'engine');
      try {
        await until(() => node.probe('readyz').includes('no sign of life'));
        await until(() => node.logged('The engine cannot be stopped') > 0);
        await until(() => stateOf(node.pid!) === 'Z');
      } finally {
        // The dead thread is its tracer's to collect: the process is gone for its parent only then.
        thaw();
      }
      expect(await node.untilEnded()).toMatchObject({ code: 1, signal: null });
    },
  );
});

test('the network config changes the engine of all nodes but those whose flag says otherwise, while pods talk', async () => {
  const [a, b] = (await start('marked-engine.ts', 2)) as [Node, Node];
  a.start();
  b.start(['-engine=reference']);
  for (const node of [a, b]) {
    await node.untilReady();
    node.addPodAddress();
  }
  const runs = (node: Node, count: number) => until(() => node.logged('The engine runs') === count);
  const marked = (node: Node) => node.logged('The reference engine was asked for');
  const change = (backend: string) => cluster.etcd.put(`${PREFIX}/config`, CONFIG.replace('"udp"', `"udp",${backend}`));
  await until(() => a.canPing(b) && b.canPing(a));
  const stopNumbered = await startNumbered(a.place(a.podAddress), b.place(b.podAddress));
  const from = now();
  change('"Engine":"fast","BusyPollUs":20');
  await until(() => a.logged('asks for another engine') === 1);
  const before = marked(a);
  change('"Engine":"reference"');
  await until(() => marked(a) === before + 1);
  await a.untilReady();
  await until(() => a.canPing(b) && b.canPing(a));
  const to = now();
  await new Promise((resolve) => setTimeout(resolve, 500));
  const journeys = await stopNumbered();
  printJourneys(`Two changes of the engine within ${(to - from).toFixed()} ms`, journeys);
  for (const { sent, lost, late, duplicates } of journeys) {
    expect(sent - lost.length).toBeGreaterThan(20);
    expect(lost.filter((at) => at > to)).toEqual([]);
    expect([late, duplicates]).toEqual([0, 0]);
  }
  expect([marked(b), b.logged('asks for another engine')]).toEqual([1, 0]);
  await runs(b, 1);
  expect(a.logged('is gone')).toBe(0); // the device stayed
});

test('SIGTERM ends it with 0 within a second though the engine’s thread is stuck', async () => {
  const [node] = (await start('stuck-engine.ts', 1)) as [Node];
  await node.startReady(REPLACED);
  const ended = await node.stop();
  expect(ended).toMatchObject({ code: 0, signal: null });
  expect(node.text).toContain('Not all parts ended');
});
