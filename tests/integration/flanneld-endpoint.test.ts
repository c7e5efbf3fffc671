/** -health-endpoint: whether packets of pods get through this node, seen by an address that goes their way. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Cluster, type Node, PREFIX, until } from './support/cluster.ts';
import { bundleFlanneld } from './support/flanneld-bundle.ts';
import { addPod, type Pod } from './support/pods.ts';

jest.setTimeout(120_000);

let program: string;
let cluster: Cluster;
let pods: Pod[];
let [a, b] = [] as unknown as [Node, Node];

beforeAll(async () => {
  program = await bundleFlanneld();
});
afterAll(() => rmSync(path.dirname(program), { recursive: true, force: true }));
beforeEach(async () => {
  pods = [];
  cluster = await Cluster.create(program, 2);
  cluster.etcd.put(`${PREFIX}/config`, '{"Network":"10.5.0.0/16","Backend":{"Type":"udp"}}');
  [a, b] = cluster.nodes as [Node, Node];
});
afterEach(async () => {
  for (const pod of pods) pod.destroy();
  await cluster.destroy();
});

const stores = (node: Node) => path.join(node.directory, 'networks');
const flags = (node: Node) => ['-health-endpoint', `-host-local-dir=${stores(node)}`];
const endpoint = (node: Node) => node.subnet.replace('.1/24', '.254');
const readyz = (node: Node) => node.get('readyz?verbose');

test('a rule against pods that only they meet makes the node not ready, until it is gone', async () => {
  for (const node of cluster.nodes) mkdirSync(path.join(stores(node), 'cbr0'), { recursive: true });
  for (const node of cluster.nodes) node.start(flags(node));
  for (const node of cluster.nodes) await node.untilReady();
  // Nothing is known of pods before there is one.
  expect(readyz(a)).toContain('pod path: the health endpoint waits for the bridge cni0, which the first pod makes');
  pods = cluster.nodes.map(addPod);
  await until(() => a.logged(`Made the health endpoint ${endpoint(a)}`) === 1);
  await until(() => b.logged('Made the health endpoint') === 1);
  expect(pods[0]!.canPing(endpoint(a))).toBe(true);
  expect(pods[0]!.canPing(endpoint(b))).toBe(true);
  expect(readFileSync(path.join(stores(a), 'cbr0', endpoint(a)), 'utf8')).toBe('flanneld-health-endpoint\r\neth0');

  a.run('nft', 'table inet fltest { chain f { type filter hook forward priority 0; iifname "cni0" drop; }; }');
  const sentence =
    /pod path: pods of this node reach nobody for \d+ s: 1 other node answers this host and not its health endpoint 10\.5\.\d+\.254: check firewall rules/;
  await until(() => sentence.test(readyz(a)));
  expect(b.probe('readyz')).toBe('200 flanneld is ready');
  a.run('nft', 'delete', 'table', 'inet', 'fltest');
  await a.untilReady();

  // Somebody takes the bridge's address away: pods have no gateway then.
  const gateway = a.subnet;
  a.ip('address', 'delete', gateway, 'dev', 'cni0');
  await until(() =>
    /^503 .*pods of this node are cut off, the bridge cni0 has lost 10\.5\.\d+\.1: /s.test(a.probe('readyz')),
  );
  a.ip('address', 'add', gateway, 'dev', 'cni0');
  await a.untilReady();
  const made = a.logged('Made the health endpoint');

  // Somebody deletes what is behind it.
  for (const { ifname } of JSON.parse(a.ip('-j', 'link', 'show')) as { ifname: string }[]) {
    if (ifname.startsWith('flh')) a.ip('link', 'delete', ifname);
  }
  await until(() => a.logged('Made the health endpoint') === made + 1);
  await until(() => pods[0]!.canPing(endpoint(a)));

  await a.stop();
  expect(a.ip('link', 'show')).not.toContain('flh');
  expect(a.command('cleanup', ...a.flags(...flags(a)))).toMatchObject({ code: 0 });
  expect(readdirSync(path.join(stores(a), 'cbr0'))).toEqual([]);
});

test('an address that a pod has is left to it', async () => {
  const store = path.join(stores(a), 'cbr0');
  mkdirSync(store, { recursive: true });
  await a.startReady(flags(a));
  const name = path.join(store, endpoint(a));
  await until(() => existsSync(name));
  await a.stop();
  writeFileSync(name, 'c1\r\neth0');
  a.start(flags(a));
  await until(() => a.logged(`The health endpoint waits for the address ${endpoint(a)}, which a pod has`) === 1);
  await a.stop();
  expect(a.command('cleanup', ...a.flags(...flags(a)))).toMatchObject({ code: 0 });
  expect(readFileSync(name, 'utf8')).toBe('c1\r\neth0');
});
