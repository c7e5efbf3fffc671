/**
 * Nodes of flannel's own vxlan and host-gw backends and of ours in one cluster, in both families. FLANNEL_UPSTREAM names a build of
 * github.com/flannel-io/flannel, outside of this checkout.
 */
import { existsSync, rmSync } from 'node:fs';
import path from 'node:path';
import { Cluster, type Node, PREFIX, until } from '../integration/support/cluster.ts';
import { bundleFlanneld } from '../integration/support/flanneld-bundle.ts';
import { addPod, canPing6, podAddress6, untilPing6 } from '../integration/support/ipv6.ts';
import { type Journey, startNumbered } from '../integration/support/numbered.ts';
import { MEBIBYTE, streamEachWay } from '../integration/support/stream.ts';

jest.setTimeout(90_000);

const THEIRS = process.env.FLANNEL_UPSTREAM;
if (!THEIRS) throw new Error('Set FLANNEL_UPSTREAM to a build of github.com/flannel-io/flannel');

let program: string;
beforeAll(async () => {
  program = await bundleFlanneld();
});
afterAll(() => rmSync(path.dirname(program), { recursive: true }));

async function startOurs(node: Node): Promise<void> {
  node.program = program;
  await node.startReady();
}

async function startTheirs(node: Node): Promise<void> {
  node.program = path.resolve(THEIRS!);
  node.start(['-iface=eth0', '-iptables-forward-rules=false']);
  await until(() => existsSync(node.subnetFile) && node.probe('healthz').startsWith('200'));
}

describe.each([
  { type: 'vxlan', more: {} },
  { type: 'vxlan', more: { DirectRouting: true } },
  { type: 'vxlan', more: { VNI: 42, Port: 4789 } },
  { type: 'host-gw', more: {} },
])('$type with $more', ({ type, more }) => {
  let cluster: Cluster;
  let [ours, theirs] = [] as unknown as [Node, Node];
  const reachEachOther = () =>
    ours.canPing(theirs) && theirs.canPing(ours) && canPing6(ours, theirs) && canPing6(theirs, ours);

  beforeAll(async () => {
    cluster = await Cluster.create(program, 2, { underlay: 'both' });
    const backend = { Type: type, ...more };
    cluster.etcd.put(
      `${PREFIX}/config`,
      JSON.stringify({ Network: '10.5.0.0/16', EnableIPv6: true, IPv6Network: 'fd00:5::/48', Backend: backend }),
    );
    [ours, theirs] = cluster.nodes as [Node, Node];
    await startOurs(ours);
    await startTheirs(theirs);
    for (const node of [ours, theirs]) addPod(node);
  });
  afterAll(() => cluster.destroy());

  test("pods of ours and of flannel's reach each other by both families, and we are ready", async () => {
    await until(reachEachOther);
    await ours.untilReady();
  });

  test('streams of both families arrive unchanged', async () => {
    for (const address of [(node: Node) => node.podAddress, podAddress6]) {
      const [from, to] = [ours.place(address(ours)), theirs.place(address(theirs))];
      for (const { sent, arrived } of await streamEachWay(from, to, 16 * MEBIBYTE)) expect(arrived).toEqual(sent);
    }
  });

  test('a node is swapped for ours and back under traffic, with its subnet, and no packet is lost', async () => {
    const { subnet } = theirs;
    const stop = await startNumbered(ours.place(ours.podAddress), theirs.place(theirs.podAddress), { everyMs: 2 });
    for (const start of [startOurs, startTheirs, startOurs]) {
      await theirs.stop();
      // Written when a daemon has joined: flannel's does not end at a signal before.
      rmSync(theirs.subnetFile);
      await start(theirs);
      expect(theirs.subnet).toBe(subnet);
    }
    const journeys: readonly Journey[] = await stop();
    expect(journeys.map(({ lost }) => lost.length)).toEqual([0, 0]);
    await untilPing6(ours, theirs);
    await theirs.stop();
    rmSync(theirs.subnetFile);
    await startTheirs(theirs);
    await until(reachEachOther);
  });

  test('a node that leaves is forgotten by both', async () => {
    const third = cluster.addNode();
    await startOurs(third);
    addPod(third);
    await until(() => theirs.canPing(third) && ours.canPing(third));
    await third.stop();
    expect(third.command('release', ...third.flags())).toEqual({ code: 0, stderr: '' });
    await until(() => !theirs.canPing(third) && !ours.canPing(third));
    expect(ours.ip('route')).not.toContain(third.subnet.replace('.1/24', '.0/24'));
  });
});
