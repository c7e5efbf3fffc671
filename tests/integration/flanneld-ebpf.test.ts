/** flanneld with programs in the kernel in front of its engine: they go on without it. */
import { existsSync, readdirSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import { Cluster, type Node, PREFIX, until } from './support/cluster.ts';
import { bundleFlanneld } from './support/flanneld-bundle.ts';
import { type Journey, printJourneys, startNumbered } from './support/numbered.ts';
import { MEBIBYTE, streamEachWay } from './support/stream.ts';

jest.setTimeout(120_000);

const config = (engine?: string) =>
  JSON.stringify({ Network: '10.5.0.0/16', Backend: { Type: 'udp', ...(engine !== undefined && { Engine: engine }) } });
const PINS = '/sys/fs/bpf/flannel';

let cluster: Cluster;
let [a, b] = [] as unknown as [Node, Node];

beforeAll(async () => {
  cluster = await Cluster.create(await bundleFlanneld(), 2);
  cluster.etcd.put(`${PREFIX}/config`, config());
  [a, b] = cluster.nodes as [Node, Node];
  for (const node of cluster.nodes) node.start(['-engine=ebpf']);
  for (const node of cluster.nodes) {
    await node.untilReady();
    node.addPodAddress();
  }
  await untilInKernel();
});
afterAll(async () => {
  const { program } = cluster;
  await cluster.destroy();
  rmSync(path.dirname(program), { recursive: true, force: true });
});

const counter = (node: Node, name: string): number =>
  Number(new RegExp(`^flannel_engine_${name} (\\d+)$`, 'm').exec(node.get('metrics'))?.[1] ?? Number.NaN);

/** Both have seen by each other's datagrams that programs receive there. */
async function untilInKernel(): Promise<void> {
  await until(() => a.canPing(b) && b.canPing(a));
}

async function during(change: () => Promise<void>): Promise<readonly Journey[]> {
  const stopNumbered = await startNumbered(a.place(a.podAddress), b.place(b.podAddress), { flows: 2, everyMs: 10 });
  await new Promise((resolve) => setTimeout(resolve, 500));
  await change();
  await new Promise((resolve) => setTimeout(resolve, 500));
  return stopNumbered();
}

function expectNothingLost(journeys: readonly Journey[]): void {
  if (journeys.some(({ lost }) => lost.length > 0)) printJourneys('pods', journeys);
  for (const { sent, lost, duplicates } of journeys) {
    expect(sent).toBeGreaterThan(20);
    expect({ lost: lost.length, duplicates }).toEqual({ lost: 0, duplicates: 0 });
  }
}

const links = (node: Node): string => node.ip('-o', 'link', 'show');
const pinned = (): string[] => (existsSync(PINS) ? readdirSync(PINS) : []);
/** Devices of the host for which there are programs. */
const namesOf = (node: Node): string[] => {
  const prefix = `${statSync(`/run/netns/${node.netns}`).ino}-`;
  return pinned()
    .filter((name) => name.startsWith(prefix))
    .map((name) => name.slice(prefix.length))
    .sort();
};

test('programs move the packets, and it is to be seen', async () => {
  expect(JSON.stringify(a.status)).toContain('"engine":"ebpf"');
  const before = counter(a, 'sent_packets_total');
  const journeys = await during(async () => {});
  expectNothingLost(journeys);
  const [first, second] = journeys; // the flows from a
  expect(counter(a, 'sent_packets_total')).toBeGreaterThanOrEqual(before + first!.sent + second!.sent);
  expect(links(a)).toContain('flannel0-gro');
});

test('flanneld killed, kept dead and started again: nothing is lost, and it takes over what there is', async () => {
  const index = a.ip('-o', 'link', 'show', 'flannel0').split(':')[0];
  expectNothingLost(
    await during(async () => {
      await a.kill();
      await new Promise((resolve) => setTimeout(resolve, 3000));
      a.start(['-engine=ebpf']);
      await a.untilReady();
    }),
  );
  expect(a.ip('-o', 'link', 'show', 'flannel0').split(':')[0]).toBe(index);
  expect(a.logged('Taking over device flannel0, which a flanneld before has left')).toBe(1);
});

test('flanneld stopped and started again: nothing is lost', async () => {
  expectNothingLost(
    await during(async () => {
      await a.stop();
      a.start(['-engine=ebpf']);
      await a.untilReady();
    }),
  );
});

test('flanneld killed and started again while etcd does not answer: nothing is lost before it knows its peers, either', async () => {
  const journeys = await during(async () => {
    await a.kill();
    cluster.etcd.pause();
    try {
      a.start(['-engine=ebpf']);
      await until(() => a.logged('Programs in the kernel move the packets') === 1);
      await new Promise((resolve) => setTimeout(resolve, 500));
    } finally {
      cluster.etcd.resume();
    }
    await a.untilReady();
  });
  expectNothingLost(journeys);
});

test('programs that somebody detaches are attached again', async () => {
  // Other tests have pins, too.
  expect(namesOf(a)).toEqual(['flannel0']);
  rmSync(path.join(PINS, `${statSync(`/run/netns/${a.netns}`).ino}-flannel0`, 'send'));
  a.ip('link', 'set', 'flannel0-dec', 'down');
  a.ip('link', 'del', 'flannel0-dec');
  await until(() => links(a).includes('flannel0-gro'));
  await until(() => a.logged('Programs in the kernel were gone from a device') > 0);
  await until(() => a.canPing(b) && b.canPing(a));
});

test('a second network on a host has its own programs, which another engine takes away without the first one’s', async () => {
  cluster.etcd.put('/other/config', '{"Network":"10.6.0.0/16","Backend":{"Type":"udp","Port":8286}}');
  const others = [a, b].map((node) => cluster.addDaemon(node, {}));
  const [c, d] = others as [Node, Node];
  for (const other of others) await other.startReady(['-engine=ebpf']);
  for (const other of others) other.addPodAddress();
  expect(namesOf(a)).toEqual(['flannel0', 'flannel1']);
  await until(() => c.canPing(d) && d.canPing(c) && a.canPing(b));
  for (const other of others) await other.stop();
  expect(c.canPing(d)).toBe(true);
  for (const other of others) await other.startReady(['-engine=fast']);
  expect(namesOf(a)).toEqual(['flannel0']);
  expect(links(a)).not.toContain('flannel1-gro');
  await until(() => c.canPing(d) && a.canPing(b));
  for (const other of others) await other.stop();
});

test('the engine changes by the flag of the next start: streams between both engines arrive whole, and nothing of the programs is left', async () => {
  for (const node of [a, b]) {
    await node.stop();
    node.start(['-engine=fast']);
    await node.untilReady();
    expect(links(node)).not.toContain('flannel0-gro');
    expect(links(node)).not.toContain('flannel1');
    if (node === b) continue;
    await until(() => a.canPing(b) && b.canPing(a));
    const streams = await streamEachWay(a.place(a.podAddress), b.place(b.podAddress), 16 * MEBIBYTE);
    for (const { sent, arrived } of streams) expect(arrived).toEqual(sent);
  }
  await until(() => a.canPing(b) && b.canPing(a));
  expect(JSON.stringify(a.status)).toContain('"engine":"fast"');
});

test('the network config switches programs on and off while flanneld runs', async () => {
  for (const node of [a, b]) {
    await node.stop();
    node.start();
    await node.untilReady();
  }
  cluster.etcd.put(`${PREFIX}/config`, config('ebpf'));
  await until(() => [a, b].every((node) => JSON.stringify(node.status).includes('"engine":"ebpf"')));
  await untilInKernel();
  cluster.etcd.put(`${PREFIX}/config`, config('fast'));
  await until(() => [a, b].every((node) => JSON.stringify(node.status).includes('"engine":"fast"')));
  await until(() => a.canPing(b) && b.canPing(a));
  for (const node of [a, b]) expect(links(node)).not.toContain('flannel0-gro');
});

const expectNothingLeft = (node: Node): void => {
  expect(namesOf(node)).toEqual([]);
  expect(links(node)).not.toMatch(/flannel\d/);
};

test('another backend removes what a flanneld with programs left, whether it died before or runs', async () => {
  cluster.etcd.put(`${PREFIX}/config`, config('ebpf'));
  await until(() => [a, b].every((node) => JSON.stringify(node.status).includes('"engine":"ebpf"')));
  await a.kill();
  cluster.etcd.put(`${PREFIX}/config`, '{"Network":"10.5.0.0/16","Backend":{"Type":"vxlan"}}');
  await a.startReady();
  await until(() => [a, b].every((node) => links(node).includes('flannel.1') && !/flannel\d/.test(links(node))));
  for (const node of [a, b]) expectNothingLeft(node);
  await until(() => a.canPing(b) && b.canPing(a));
  cluster.etcd.put(`${PREFIX}/config`, config('ebpf'));
  await until(() => [a, b].every((node) => namesOf(node).length > 0));
});

test('cleanup removes programs, their devices and their names', async () => {
  await until(() => a.canPing(b) && b.canPing(a));
  await a.stop();
  expect(a.canPing(b)).toBe(true);
  expect(a.command('cleanup', `-subnet-file=${a.subnetFile}`)).toEqual({ code: 0, stderr: '' });
  expectNothingLeft(a);
  expect(namesOf(b)).toEqual(['flannel0']);
});

test('without CAP_BPF the fast engine moves the packets, and it is said why; no other capability of root is needed', async () => {
  a.without = ['sys_admin', 'bpf'];
  await a.startReady(['-engine=ebpf']);
  expect(a.status).toMatchObject({
    node: { engine: 'fast', engineRefused: expect.stringContaining('flanneld lacks CAP_BPF: ') },
  });
  await until(() => a.canPing(b));
  await a.stop();
  a.without = ['sys_admin', 'perfmon', 'sys_resource', 'ipc_lock'];
  await a.startReady(['-engine=ebpf']);
  expect(a.status).toMatchObject({ node: { engine: 'ebpf' } });
  await until(() => a.canPing(b) && b.canPing(a));
});

test('auto says what it takes, and why not more', async () => {
  cluster.etcd.put(`${PREFIX}/config`, config());
  await until(() => b.status.node?.engine === 'fast');
  expect(b.status).toMatchObject({ node: { engineChosen: expect.stringContaining('fast: programs in the kernel') } });
  expect(b.logged('Engine auto takes fast: ')).toBe(1);
});
