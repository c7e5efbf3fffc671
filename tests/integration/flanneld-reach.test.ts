/** A node that is ready only while its pods can talk: what /readyz and /status say of faults, and that they say it no more. */
import { rmSync } from 'node:fs';
import path from 'node:path';
import { Cluster, type Node, PREFIX, until } from './support/cluster.ts';
import { bundleFlanneld } from './support/flanneld-bundle.ts';
import { addPod } from './support/pods.ts';

jest.setTimeout(120_000);

const CONFIG = '{"Network":"10.5.0.0/16","Backend":{"Type":"udp"}}';

let program: string;
let cluster: Cluster;
let [a, b] = [] as unknown as [Node, Node];

beforeAll(async () => {
  program = await bundleFlanneld();
});
afterAll(() => rmSync(path.dirname(program), { recursive: true, force: true }));
beforeEach(async () => {
  cluster = await Cluster.create(program, 2);
  cluster.etcd.put(`${PREFIX}/config`, CONFIG);
  [a, b] = cluster.nodes as [Node, Node];
});
afterEach(() => cluster.destroy());

const startBoth = async (flags: string[] = []) => {
  for (const node of cluster.nodes) node.start(flags);
  for (const node of cluster.nodes) await node.untilReady();
};
const BLOCK = ['table inet fltest { chain in { type filter hook input priority 0; udp dport 8285 drop; }; }'];

test('two nodes become ready together, and know round trip and path of each other', async () => {
  await startBoth();
  await until(() => a.status.peers[0]?.largePackets === 'passes');
  const [peer] = a.status.peers;
  expect(peer).toMatchObject({ address: b.address, subnet: b.subnet.replace('.1/', '.0/') });
  expect(peer!.roundTripMs).toBeGreaterThan(0);
  expect(peer!.lastAnswerSecondsAgo).toBeLessThan(8);
  const metrics = a.get('metrics');
  expect(metrics).toContain('flannel_reach_peers{state="answering"} 1\n');
  expect(metrics).toMatch(
    /flannel_reach_peer_round_trip_seconds\{subnet="10\.5\.\d+\.0\/24",peer="10\.64\.0\.17"\} 0\.\d+/,
  );
});

test('a node that may not probe says so, and does not treat silence as a fault', async () => {
  a.without = ['net_raw'];
  await startBoth();
  // Longer than the silence that would count, were it one: b, which may probe, finds a closed port on its side meanwhile.
  b.run('nft', ...BLOCK);
  await until(() => b.probe('readyz').startsWith('503'));
  await until(() => a.status.peers[0]?.lastAnswerSecondsAgo === null);
  expect(a.probe('readyz')).toBe('200 flanneld is ready');
  expect(a.status.details.join()).toContain('give flanneld the capability CAP_NET_RAW');
});

test('a node that nobody answers is not ready until somebody does, and its process stays', async () => {
  await startBoth();
  // What it drops itself is a trouble of its own, beside the silence that this causes.
  a.run('nft', ...BLOCK);
  const sentence =
    /reach: the only other node, 10\.5\.\d+\.0\/24 at 10\.64\.0\.17, has not answered through the overlay for \d+ s: UDP port 8285 has to be open/;
  await until(() => sentence.test(a.probe('readyz')));
  expect(a.status.troubles.map(({ part }) => part)).toEqual(['input rules', 'reach']);
  expect(a.probe('healthz')).toBe('200 flanneld is running');
  a.run('nft', 'delete', 'table', 'inet', 'fltest');
  await a.untilReady();
  await until(() => a.logged('Not ready') === 1);
});

test('a node that starts behind a closed port does not say that it is ready, and pods may start all the same', async () => {
  await b.startReady();
  a.run('nft', ...BLOCK);
  a.start();
  await until(() => a.probe('readyz').includes('waiting for the first answer of 1 other node'));
  await until(() => a.logged('Wrote the subnet file') > 0);
  a.run('nft', 'delete', 'table', 'inet', 'fltest');
  await a.untilReady();
});

test('one silent node of two is a detail, with its name', async () => {
  const c = cluster.addNode();
  await startBoth();
  await c.stop('SIGKILL');
  await until(() => a.status.details.some((line) => line.includes('1 of 2 other nodes does not answer')));
  expect(a.get('readyz?verbose')).toContain(`at ${c.address} for`);
  expect(a.probe('readyz')).toBe('200 flanneld is ready');
});

test('a path that loses large packets is found', async () => {
  await startBoth();
  await until(() => a.status.peers[0]?.largePackets === 'passes');
  await a.stop();
  b.run(
    'nft',
    'table inet fltest { chain in { type filter hook input priority 0; udp dport 8285 udp length > 1300 drop; }; }',
  );
  await a.startReady();
  await until(() => a.status.peers[0]?.largePackets === 'lost');
  await until(() => a.get('readyz?verbose').includes('packets of 1472 bytes get lost on the way to'));
});

test('pods learn how narrow a path is that swallows large packets, and send large ones again when it is wide', async () => {
  await startBoth();
  await a.stop();
  const [podA, podB] = cluster.nodes.map(addPod) as [ReturnType<typeof addPod>, ReturnType<typeof addPod>];
  const limit = () => Number(/flannel_engine_path_limit_bytes\{[^}]*\} (\d+)/.exec(a.get('metrics'))?.[1] ?? 0);
  try {
    // 1300 with the UDP header: 1292 bytes of the pods.
    b.run(
      'nft',
      'table inet fltest { chain in { type filter hook input priority 0; udp dport 8285 udp length > 1300 drop; }; }',
    );
    // A veth carries datagrams unsegmented: the rule would see several small ones as a large one.
    await a.startReady(['-engine-offload=false']);
    await until(() => limit() > 0);
    expect(limit()).toBeGreaterThan(1292 - 8);
    expect(limit()).toBeLessThanOrEqual(1292);
    const ping = () => podA.run('ping', '-n', '-c', '2', '-W', '2', '-M', 'do', '-s', '1400', podB.address);
    expect(ping).toThrow();
    expect(podA.run('ping', '-n', '-c', '2', '-W', '2', '-M', 'dont', '-s', '1400', podB.address)).toContain(
      ' 0% packet loss',
    );
    expect(podA.run('ip', 'route', 'get', podB.address)).toContain(`mtu ${limit()}`);
    b.run('nft', 'delete', 'table', 'inet', 'fltest');
    await until(() => limit() === 0);
    podA.run('ip', 'route', 'flush', 'cache');
    expect(ping()).toContain(' 0% packet loss');
  } finally {
    podA.destroy();
    podB.destroy();
  }
});

test('nodes of different MTU in one overlay: the one that sends more than the other accepts says so', async () => {
  b.ip('link', 'set', 'eth0', 'mtu', '1400');
  await startBoth();
  await until(() => a.status.peers[0]?.largePackets === 'lost');
  await until(() => b.status.peers[0]?.largePackets === 'passes');
});

test('an MTU that changes while flanneld runs is that of the large probes from then on', async () => {
  await startBoth();
  await until(() => a.status.peers[0]?.largePackets === 'passes');
  const arrived = (bytes: number) => b.run('nft', 'list', 'counter', 'inet', 'fltest', `of${bytes}`);
  const count = (bytes: number) =>
    `counter of${bytes} {}; chain c${bytes} { type filter hook input priority 0; icmp type echo-request meta length ${bytes} counter name of${bytes}; };`;
  b.run('nft', `table inet fltest { ${count(1372)} ${count(1272)} }`);
  for (const [mtu, inside] of [
    [1400, 1372],
    [1300, 1272],
  ] as const) {
    for (const node of cluster.nodes) node.ip('link', 'set', 'eth0', 'mtu', String(mtu));
    await until(() => !arrived(inside).includes('packets 0 '));
    await until(() => a.status.peers[0]?.largePackets === 'passes');
  }
  expect(a.get('readyz?verbose')).not.toContain('get lost on the way');
});

test('forwarding that somebody turns off is on again within seconds, on the host and on an interface', async () => {
  await startBoth();
  const [podA, podB] = cluster.nodes.map(addPod) as [ReturnType<typeof addPod>, ReturnType<typeof addPod>];
  try {
    await until(() => podA.canPing(podB.address));
    for (const parameter of ['net.ipv4.ip_forward', 'net.ipv4.conf.flannel0.forwarding']) {
      a.run('sysctl', '-qw', `${parameter}=0`);
      await until(() => a.logged(`Somebody set ${parameter} to 0`) === 1);
      await until(() => podA.canPing(podB.address));
    }
    expect(a.get('metrics')).toMatch(/flannel_sysctl_restorations_total [1-9]/);
    await a.untilReady();
  } finally {
    podA.destroy();
    podB.destroy();
  }
});

test('SIGTERM logs no warning', async () => {
  await startBoth();
  expect(await a.stop()).toMatchObject({ code: 0 });
  expect(a.log.filter(({ level }) => level > 30)).toEqual([]);
});
