import { rmSync } from 'node:fs';
import path from 'node:path';
import { Cluster, type Node, PREFIX, until } from './support/cluster.ts';
import { bundleFlanneld } from './support/flanneld-bundle.ts';
import { startNumbered } from './support/numbered.ts';

jest.setTimeout(60_000);

const FLOWS = 32;
const config = (more: object) =>
  JSON.stringify({ Network: '10.5.0.0/16', Backend: { Type: 'udp', Port: 8290, ...more } });

let cluster: Cluster;
let [a, b] = [] as unknown as [Node, Node];

beforeAll(async () => {
  cluster = await Cluster.create(await bundleFlanneld(), 2);
  cluster.etcd.put(`${PREFIX}/config`, config({ SourcePorts: 4 }));
  [a, b] = cluster.nodes as [Node, Node];
  a.start();
  // An explicit flag wins over the network config.
  b.start(['-engine-source-ports=1']);
  for (const node of cluster.nodes) {
    await node.untilReady();
    node.addPodAddress();
    node.run('nft', 'add table inet seen; add set inet seen ports { type inet_service; flags dynamic; size 1024; }');
    node.run('nft', 'add chain inet seen in { type filter hook input priority 0; }');
    node.run('nft', 'add rule inet seen in udp dport 8290 add @ports { udp sport }');
  }
  await until(() => a.canPing(b) && b.canPing(a));
});
afterAll(async () => {
  const { program } = cluster;
  await cluster.destroy();
  rmSync(path.dirname(program), { recursive: true, force: true });
});

/** What a node's kernel has of UDP sockets of the node's address. */
function sockets(node: Node): number {
  // As the kernel prints it: a number in the processor's order.
  const bytes = node.address.split('.').map((byte) => Number(byte).toString(16).padStart(2, '0').toUpperCase());
  const address = bytes.toReversed().join('');
  const lines = node.run('cat', '/proc/net/udp').split('\n');
  return lines.filter((line) => line.includes(`: ${address}:`)).length;
}

/** The ports that datagrams come from at each node, and that flows of pods come whole and in order. */
async function seenDuringFlows(): Promise<{ readonly atA: readonly number[]; readonly atB: readonly number[] }> {
  for (const node of [a, b]) node.run('nft', 'flush', 'set', 'inet', 'seen', 'ports');
  const stopNumbered = await startNumbered(a.place(a.podAddress), b.place(b.podAddress), { flows: FLOWS, everyMs: 20 });
  // A sender needs long for its first round on a busy machine.
  await new Promise((resolve) => setTimeout(resolve, 2000));
  for (const { sent, ...trouble } of await stopNumbered()) {
    expect(sent).toBeGreaterThan(10);
    expect(trouble).toEqual({ lost: [], duplicates: 0, late: 0 });
  }
  const [atA, atB] = [a, b].map((node) => {
    const { nftables } = JSON.parse(node.run('nft', '-j', 'list', 'set', 'inet', 'seen', 'ports'));
    const { set } = nftables.find((entry: object) => 'set' in entry) as { set: { elem?: number[] } };
    return (set.elem ?? []).toSorted((x, y) => x - y);
  });
  return { atA: atA!, atB: atB! };
}

test('flows of pods leave by four ports, which the kernel has chosen but for the first', async () => {
  expect([sockets(a), sockets(b)]).toEqual([4, 1]);
  const { atA, atB } = await seenDuringFlows();
  expect(atA).toEqual([8290]);
  expect(atB).toHaveLength(4);
  expect(atB).toContain(8290);
});

test('the network config changes their number at once; without a word of them there is one', async () => {
  cluster.etcd.put(`${PREFIX}/config`, config({ SourcePorts: 16 }));
  await until(() => sockets(a) === 16);
  expect((await seenDuringFlows()).atB.length).toBeGreaterThan(8);
  cluster.etcd.put(`${PREFIX}/config`, config({}));
  await until(() => sockets(a) === 1);
  expect(await seenDuringFlows()).toEqual({ atA: [8290], atB: [8290] });
});

test('the reference engine has as many', async () => {
  cluster.etcd.put(`${PREFIX}/config`, config({ Engine: 'reference', SourcePorts: 4 }));
  await until(() => sockets(a) === 4);
  await until(() => cluster.nodes.every((node) => node.probe('metrics').includes('engine="reference"')));
  await until(() => a.canPing(b) && b.canPing(a));
  expect((await seenDuringFlows()).atB).toHaveLength(4);
});

test('where the kernel has no ports to give, packets leave by those that there are', async () => {
  // Fewer ports than asked for, and nobody else has a socket here.
  a.run('sysctl', '-qw', 'net.ipv4.ip_local_port_range=50000 50001');
  cluster.etcd.put(`${PREFIX}/config`, config({ SourcePorts: 8 }));
  await until(() => a.logged('The engine sends from 3 ports instead of 8') === 1);
  await until(() => a.canPing(b));
  expect((await seenDuringFlows()).atB).toEqual([8290, 50000, 50001]);
});
