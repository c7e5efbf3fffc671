/** The compiled flanneld with its lease in Kubernetes: a real API server, and podCIDRs by a real kube-controller-manager. */
import { rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Cluster, GATEWAY, type Node, until } from './support/cluster.ts';
import { compileFlanneld } from './support/flanneld-bundle.ts';
import { KubeServer } from './support/kube-server.ts';

jest.setTimeout(120_000);

const WARNING = 40;
const PREFIX = 'flannel.alpha.coreos.com';

let program: string;
let cluster: Cluster;
let server: KubeServer;
let flags: string[];
let [a, b] = [] as unknown as [Node, Node];
const nameOf = (node: Node) => (node === a ? 'a' : 'b');

beforeAll(async () => {
  program = compileFlanneld();
  cluster = await Cluster.create(program, 2, { etcd: false });
  [a, b] = cluster.nodes as [Node, Node];
  const netns = `/run/netns/${cluster.routerNetns}`;
  server = await KubeServer.start({ netns, host: GATEWAY, clusterCidr: '10.5.0.0/16' });
  const config = server.file('net-conf.json', '{"Network":"10.5.0.0/16","Backend":{"Type":"vxlan"}}');
  flags = ['-kube-subnet-mgr', `-kubeconfig-file=${server.kubeconfig()}`, `-net-config-path=${config}`];
  for (const node of [a, b]) await server.createNode(nameOf(node));
});
afterAll(async () => {
  await cluster?.destroy();
  await server?.destroy();
  rmSync(path.dirname(program), { recursive: true });
});

const start = (node: Node) => node.start(flags, { NODE_NAME: nameOf(node) });
const conditionOf = async (name: string) =>
  (await server.node(name)).status?.conditions?.find(({ type }) => type === 'NetworkUnavailable')?.status;
async function eventually(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 200));
}

test('pods of nodes with the podCIDRs that Kubernetes gave them reach each other', async () => {
  for (const node of [a, b]) start(node);
  for (const node of [a, b]) await node.untilReady();
  const cidrs = await Promise.all(['a', 'b'].map(async (name) => (await server.node(name)).spec.podCIDR));
  expect([a, b].map(({ subnet }) => subnet.replace('.1/', '.0/'))).toEqual(cidrs);
  for (const node of [a, b]) node.addPodAddress();
  await until(() => a.canPing(b) && b.canPing(a));
  await eventually(async () => (await conditionOf('a')) === 'False' && (await conditionOf('b')) === 'False');
  expect((await server.node('a')).metadata.annotations).toMatchObject({
    [`${PREFIX}/backend-type`]: 'vxlan',
    [`${PREFIX}/public-ip`]: a.address,
  });
});

test('SIGTERM is no warning, and leaves the annotations and the condition', async () => {
  const before = (await server.node('b')).metadata.annotations;
  const said = b.log.length;
  expect(await b.stop()).toMatchObject({ code: 0 });
  expect(b.log.slice(said).filter(({ level }) => level >= WARNING)).toEqual([]);
  expect((await server.node('b')).metadata.annotations).toEqual(before);
  expect(await conditionOf('b')).toBe('False');
  expect(a.canPing(b)).toBe(true); // the kernel's devices stay
  start(b);
  await b.untilReady();
});

test('packets flow while the API server is away, also of a node that starts then', async () => {
  await server.stop();
  await b.stop();
  start(b);
  await until(() => b.logged('serving with the kept podCIDR') > 0);
  await b.untilReady();
  expect(a.canPing(b) && b.canPing(a)).toBe(true);
  await server.start();
  await until(() => a.logged('The watch on Kubernetes is back') > 0);
  await server.annotate('b', { [`${PREFIX}/public-ip`]: null });
  await eventually(async () => (await server.node('b')).metadata.annotations?.[`${PREFIX}/public-ip`] === b.address);
  expect(a.canPing(b)).toBe(true);
});

test('a changed config file is followed to another backend', async () => {
  const config = path.join(server.directory, 'net-conf.json');
  writeFileSync(config, '{"Network":"10.5.0.0/16","Backend":{"Type":"host-gw"}}');
  await eventually(async () => {
    const types = (await server.nodes()).map(({ metadata }) => metadata.annotations?.[`${PREFIX}/backend-type`]);
    return types.every((type) => type === 'host-gw');
  });
  await until(() => a.canPing(b) && b.canPing(a));
  expect((await server.node('a')).metadata.annotations?.[`${PREFIX}/backend-data`]).toBe('null');
});

test('flanneld needs no more than its DaemonSet allows: two capabilities, and settings of the kernel to read', async () => {
  await b.stop();
  b.isConfined = true;
  start(b);
  await b.untilReady();
  await until(() => a.canPing(b) && b.canPing(a));
  expect(b.log.filter(({ level }) => level >= WARNING)).toEqual([]);
});

test('flanneld without a podCIDR waits, and says so in /readyz', async () => {
  await server.createNode('c', ['10.77.0.0/24']);
  const c = cluster.addNode();
  c.start([...flags], { NODE_NAME: 'd' });
  await until(() => c.probe('readyz').includes('Kubernetes knows no node d'));
  expect((await c.stop()).code).toBe(0);
  c.start([...flags], { NODE_NAME: 'c' });
  expect((await c.untilEnded()).code).toBe(1);
  expect(c.text).toContain('The podCIDR 10.77.0.0/24 of the node c is outside of the network 10.5.0.0/16');
});
