/** What belongs to whom: several networks on one host, routes of the operator, leftovers of real flannel. */
import { rmSync } from 'node:fs';
import path from 'node:path';
import { Cluster, GATEWAY, type Node, PREFIX, until } from './support/cluster.ts';
import { bundleFlanneld } from './support/flanneld-bundle.ts';

jest.setTimeout(120_000);

const CONFIG = '{"Network":"10.5.0.0/16","Backend":{"Type":"udp"}}';
let program: string;
let cluster: Cluster;

beforeAll(async () => {
  program = await bundleFlanneld();
});
afterAll(() => rmSync(path.dirname(program), { recursive: true, force: true }));
afterEach(() => cluster?.destroy());

/** Answers of 40 pings at 10 per second. */
function answers(from: Node, to: Node): number {
  const output = from.run('sh', '-c', `ping -c 40 -i 0.1 -W 1 -I ${from.podAddress} ${to.podAddress} || true`);
  return Number(/(\d+) received/.exec(output)?.[1]);
}

describe('two networks on each host', () => {
  const start = async (blue: string, green: string) => {
    cluster = await Cluster.create(program, 2);
    cluster.etcd.put(`${PREFIX}/config`, blue);
    cluster.etcd.put('/green/config', green);
    const others = cluster.nodes.map((node) => cluster.addDaemon(node, { etcdPrefix: '/green' }));
    const all = [...cluster.nodes, ...others];
    for (const node of all) node.start(['-ip-masq']);
    for (const node of all) await node.untilReady();
    for (const node of all) node.addPodAddress();
    return { blues: cluster.nodes as [Node, Node], greens: others as [Node, Node], all };
  };

  test.each([
    ['beside each other', '10.6.0.0/16'],
    ['inside each other', '10.5.128.0/17'],
  ])('%s both work, without a change of routes after the start', async (_, network) => {
    const { blues, greens, all } = await start(
      CONFIG.replace('"Backend"', '"SubnetMax":"10.5.100.0","Backend"'),
      `{"Network":"${network}","Backend":{"Type":"udp","Port":8286}}`,
    );
    for (const [a, b] of [blues, greens]) await until(() => a.canPing(b) && b.canPing(a));
    const changes = (node: Node) => /flannel_reconcile_changes_total (\d+)/.exec(node.probe('metrics'))?.[1];
    const before = all.map(changes);
    expect(answers(...blues)).toBe(40);
    expect(answers(...greens)).toBe(40);
    expect(all.map(changes)).toEqual(before);
    for (const node of all) expect(node.probe('readyz')).toBe('200 flanneld is ready');
    const [, green] = greens;
    const [, blue] = blues;
    await green.stop();
    expect(green.command('cleanup', ...green.flags())).toMatchObject({ code: 0 });
    expect(green.ip('route', 'show', network)).toBe('');
    expect(answers(...blues)).toBe(40);
    expect(blue.probe('readyz')).toBe('200 flanneld is ready');
  });
});

test('vxlan and host-gw on one host carry each its own network, and nothing of the other (functional/multi of flannel)', async () => {
  cluster = await Cluster.create(program, 2);
  cluster.etcd.put(`${PREFIX}/config`, '{"Network":"10.11.0.0/16","Backend":{"Type":"vxlan"}}');
  cluster.etcd.put('/hostgw/config', '{"Network":"10.12.0.0/16","Backend":{"Type":"host-gw"}}');
  const hostGw = cluster.nodes.map((node) => cluster.addDaemon(node, { etcdPrefix: '/hostgw' })) as [Node, Node];
  const vxlan = cluster.nodes as [Node, Node];
  for (const node of [...vxlan, ...hostGw]) node.start();
  for (const node of [...vxlan, ...hostGw]) await node.untilReady();
  for (const node of [...vxlan, ...hostGw]) node.addPodAddress();
  for (const [a, b] of [vxlan, hostGw]) await until(() => a.canPing(b) && b.canPing(a));
  const device = (to: Node) => / dev (\S+) /.exec(vxlan[0].ip('route', 'get', to.podAddress))?.[1];
  expect([device(vxlan[1]), device(hostGw[1])]).toEqual(['flannel.1', 'eth0']);
  const by = (link: string, to: Node) =>
    vxlan[0].run('sh', '-c', `ping -c 1 -W 1 -I ${link} ${to.podAddress} || true`).includes(' 1 received');
  expect([by('flannel.1', vxlan[1]), by('flannel.1', hostGw[1])]).toEqual([true, false]);
});

describe('one network', () => {
  const startTwo = async () => {
    cluster = await Cluster.create(program, 2);
    cluster.etcd.put(`${PREFIX}/config`, CONFIG);
    return cluster.nodes as [Node, Node];
  };

  test('routes of the operator to and inside the network stay at the start and at cleanup, and are reported', async () => {
    const [a] = await startTwo();
    a.ip('route', 'add', '10.5.0.0/16', 'via', GATEWAY, 'proto', 'static');
    a.ip('route', 'add', '10.5.240.0/28', 'via', GATEWAY);
    a.start();
    await until(() =>
      a
        .probe('readyz')
        .includes('the route of 10.5.0.0/16 is not ours but 10.5.0.0/16 via 10.64.0.1 dev eth0 (protocol 4)'),
    );
    await until(
      () => a.logged('A route that is not ours takes packets of the overlay: 10.5.240.0/28 via 10.64.0.1') === 1,
    );
    a.ip('route', 'delete', '10.5.0.0/16', 'proto', 'static');
    await a.untilReady();
    a.ip('route', 'add', '10.5.0.0/16', 'via', GATEWAY, 'proto', 'static', 'metric', '7');
    await a.stop();
    expect(a.command('cleanup', ...a.flags())).toMatchObject({ code: 0 });
    expect(a.ip('route', 'show', 'root', '10.5.0.0/16').trim().split(/ *\n/)).toEqual([
      '10.5.0.0/16 via 10.64.0.1 dev eth0 proto static metric 7',
      '10.5.240.0/28 via 10.64.0.1 dev eth0',
    ]);
  });

  test('what other backends of flannel left in the network is removed at the start, and nothing of another network', async () => {
    const [a, b] = await startTwo();
    await b.startReady();
    const peer = b.subnet.replace('.1/24', '.0/24');
    a.ip('link', 'add', 'flannel.1', 'type', 'vxlan', 'id', '1', 'dev', 'eth0', 'dstport', '8472');
    a.ip('address', 'add', '10.5.77.0/32', 'dev', 'flannel.1');
    a.ip('link', 'set', 'flannel.1', 'up');
    a.ip('route', 'add', '10.5.66.0/24', 'via', '10.5.66.0', 'dev', 'flannel.1', 'onlink');
    a.ip('route', 'add', peer, 'via', b.address); // host-gw
    a.ip('link', 'add', 'flannel.2', 'type', 'vxlan', 'id', '2', 'dev', 'eth0', 'dstport', '8473');
    a.ip('address', 'add', '10.99.1.0/32', 'dev', 'flannel.2');
    await a.startReady();
    for (const node of [a, b]) node.addPodAddress();
    await until(() => a.canPing(b));
    expect(a.ip('-o', 'link')).not.toContain('flannel.1');
    expect(a.ip('-o', 'link')).toContain('flannel.2');
    expect(a.ip('route', 'show', peer)).toBe('');
  });

  test('cleanup removes what flannel made for this network, ours and real flannel, and nothing else', async () => {
    const [a, b] = await startTwo();
    await a.startReady();
    await a.stop('SIGKILL');
    a.ip('link', 'add', 'flannel.1', 'type', 'vxlan', 'id', '1', 'dev', 'eth0', 'dstport', '8472');
    a.ip('address', 'add', '10.5.77.0/32', 'dev', 'flannel.1');
    a.ip('route', 'add', '10.5.99.0/24', 'via', b.address); // host-gw
    a.ip('route', 'add', '10.6.0.0/16', 'via', b.address, 'proto', '241'); // another network's
    a.ip('route', 'add', '10.5.98.0/28', 'via', b.address);
    expect(a.command('cleanup', ...a.flags())).toMatchObject({ code: 0 });
    expect(a.ip('-o', 'link')).not.toContain('flannel');
    expect(a.ip('route', 'show', 'root', '10.0.0.0/8').trim().split(/ *\n/)).toEqual([
      '10.5.98.0/28 via 10.64.0.17 dev eth0',
      '10.6.0.0/16 via 10.64.0.17 dev eth0 proto 241',
      '10.64.0.0/24 dev eth0 proto kernel scope link src 10.64.0.16',
    ]);
  });
});
