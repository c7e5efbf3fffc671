/**
 * Nodes of flannel and of ours in one Kubernetes cluster: the same annotations, and a node that goes from one to the other and back under
 * traffic. FLANNEL_UPSTREAM names a build of github.com/flannel-io/flannel, outside of this checkout.
 */
import { existsSync, rmSync } from 'node:fs';
import path from 'node:path';
import { Cluster, GATEWAY, type Node, until } from '../integration/support/cluster.ts';
import { bundleFlanneld } from '../integration/support/flanneld-bundle.ts';
import { KubeServer } from '../integration/support/kube-server.ts';
import { startNumbered } from '../integration/support/numbered.ts';

jest.setTimeout(120_000);

const THEIRS = process.env.FLANNEL_UPSTREAM;
if (!THEIRS) throw new Error('Set FLANNEL_UPSTREAM to a build of github.com/flannel-io/flannel');

let program: string;
beforeAll(async () => {
  program = await bundleFlanneld();
});
afterAll(() => rmSync(path.dirname(program), { recursive: true }));

describe.each([{ Type: 'vxlan' }, { Type: 'host-gw' }])('%j', (backend) => {
  let cluster: Cluster;
  let server: KubeServer;
  let flags: string[];
  let [a, b] = [] as unknown as [Node, Node];
  const nameOf = (node: Node) => (node === a ? 'a' : 'b');
  const annotationsOf = async (node: Node) => (await server.node(nameOf(node))).metadata.annotations;

  async function start(node: Node, whose: 'ours' | 'theirs'): Promise<void> {
    node.program = whose === 'ours' ? program : path.resolve(THEIRS!);
    const own = whose === 'ours' ? [] : ['-iface=eth0', '-iptables-forward-rules=false'];
    node.start([...flags, ...own], { NODE_NAME: nameOf(node) });
    await until(() => existsSync(node.subnetFile) && node.probe('healthz').startsWith('200'));
    if (whose === 'ours') await node.untilReady();
  }

  async function swap(node: Node, whose: 'ours' | 'theirs'): Promise<void> {
    await node.stop();
    rmSync(node.subnetFile); // written when a daemon has joined
    await start(node, whose);
  }

  beforeAll(async () => {
    cluster = await Cluster.create(program, 2, { etcd: false });
    [a, b] = cluster.nodes as [Node, Node];
    const netns = `/run/netns/${cluster.routerNetns}`;
    server = await KubeServer.start({ netns, host: GATEWAY, clusterCidr: '10.5.0.0/16' });
    const config = server.file('net-conf.json', JSON.stringify({ Network: '10.5.0.0/16', Backend: backend }));
    flags = ['-kube-subnet-mgr', `-kubeconfig-file=${server.kubeconfig()}`, `-net-config-path=${config}`];
    // flannel ends with a panic on a node without any annotation; kubelet registers its node with one.
    const kubelet = { 'volumes.kubernetes.io/controller-managed-attach-detach': 'true' };
    for (const node of [a, b]) await server.createNode(nameOf(node), undefined, kubelet);
    while (!(await server.nodes()).every(({ spec }) => spec.podCIDR))
      await new Promise((done) => setTimeout(done, 100));
    await start(a, 'ours');
    await start(b, 'theirs');
    for (const node of [a, b]) node.addPodAddress();
  });
  afterAll(async () => {
    await cluster?.destroy();
    await server?.destroy();
  });

  test('pods reach each other', async () => {
    await until(() => a.canPing(b) && b.canPing(a));
  });

  test('a node goes to ours and back under traffic: the same subnet, the same annotations, no packet lost', async () => {
    const before = await annotationsOf(b);
    const { subnet } = b;
    const stop = await startNumbered(a.place(a.podAddress), b.place(b.podAddress), { everyMs: 5 });
    for (const whose of ['ours', 'theirs', 'ours'] as const) {
      await swap(b, whose);
      expect(b.subnet).toBe(subnet);
      expect(await annotationsOf(b)).toEqual(before);
    }
    const journeys = await stop();
    expect(journeys.map(({ lost }) => lost.length)).toEqual([0, 0]);
  });

  test("flannel takes a node of ours over, and each reads the other's annotations", async () => {
    const before = await annotationsOf(a);
    await swap(a, 'theirs');
    expect(await annotationsOf(a)).toEqual(before);
    await until(() => a.canPing(b) && b.canPing(a));
  });
});
