/** Where packets go when leases, networks or restarts would send them elsewhere: never round in circles, never in the open. */
import { existsSync, rmSync } from 'node:fs';
import path from 'node:path';
import { Cluster, GATEWAY, type Node, PREFIX, until } from './support/cluster.ts';
import { bundleFlanneld } from './support/flanneld-bundle.ts';

jest.setTimeout(120_000);

const CONFIG = '{"Network":"10.244.0.0/16","Backend":{"Type":"udp"}}';
let program: string;
let cluster: Cluster;

beforeAll(async () => {
  program = await bundleFlanneld();
});
afterAll(() => rmSync(path.dirname(program), { recursive: true, force: true }));
afterEach(() => cluster?.destroy());

const metric = (node: Node, name: string) => Number(new RegExp(`^${name} (.*)$`, 'm').exec(node.probe('metrics'))?.[1]);

async function startTwo(config = CONFIG): Promise<[Node, Node]> {
  cluster = await Cluster.create(program, 2);
  cluster.etcd.put(`${PREFIX}/config`, config);
  const [a, b] = cluster.nodes as [Node, Node];
  for (const node of [a, b]) node.start();
  for (const node of [a, b]) {
    await node.untilReady();
    node.addPodAddress();
  }
  await until(() => a.canPing(b) && b.canPing(a));
  return [a, b];
}

/** Counts packets for these addresses that leave by the node's own interface, until stop() says how many. */
function countInTheOpen(node: Node, destination: string): { stop(): number } {
  node.run('nft', 'add table ip fltest; add chain ip fltest out { type filter hook postrouting priority 300 ; }');
  node.run('nft', `add rule ip fltest out oifname eth0 ip daddr ${destination} counter`);
  return { stop: () => Number(/counter packets (\d+)/.exec(node.run('nft', 'list', 'table', 'ip', 'fltest'))![1]) };
}

describe('a lease that would send packets in circles', () => {
  test.each([
    ['an overlay address', '10.244.203.1', 'is inside the network 10.244.0.0/16'],
    ["this node's own address", '10.64.0.16', "is this node's own"],
  ])('of a node at %s is refused, and nothing circulates', async (_, address, reason) => {
    const [a, b] = await startTwo();
    cluster.etcd.put(`${PREFIX}/subnets/10.244.203.0-24`, `{"PublicIP":"${address}"}`);
    await until(() => a.logged('Refused the lease of 10.244.203.0/24') === 1);
    expect(a.text).toContain(`Refused the lease of 10.244.203.0/24: its public address ${address} ${reason}`);
    const before = metric(a, 'flannel_engine_device_packets_total');
    expect(() => a.run('ping', '-c', '1', '-W', '1', '-I', a.podAddress, '10.244.203.5')).toThrow();
    expect(metric(a, 'flannel_engine_device_packets_total') - before).toBeLessThan(20);
    expect(a.canPing(b)).toBe(true);
    expect(a.probe('readyz')).toBe('200 flanneld is ready');
  });

  test('through the tunnel of another network on the host is refused', async () => {
    const [a] = await startTwo();
    cluster.etcd.put('/other/config', '{"Network":"10.6.0.0/16","Backend":{"Type":"udp","Port":8286}}');
    const other = cluster.addDaemon(a, {});
    await other.startReady();
    cluster.etcd.put(`${PREFIX}/subnets/10.244.203.0-24`, '{"PublicIP":"10.6.7.7"}');
    await until(() => a.logged('its public address 10.6.7.7 is reached through the tunnel flannel1') === 1);
  });
});

describe('a restart', () => {
  const CASES = [
    ['SIGTERM', true],
    ['SIGKILL', true],
    ['SIGTERM', false],
  ] as const;

  test.each(CASES)('after %s, etcd at hand: %s: no packet between pods leaves in the open', async (signal, etcd) => {
    const [a, b] = await startTwo();
    const [subnet, pod] = [b.subnet.replace('.1/24', '.0/24'), b.podAddress];
    const open = countInTheOpen(a, subnet);
    const source = a.podAddress;
    a.run('sh', '-c', `ping -q -i 0.01 -I ${source} ${pod} > /dev/null 2>&1 & echo $! > ${a.directory}/ping`);
    try {
      if (!etcd) await cluster.etcd.stop();
      await a.stop(signal);
      // The kernel says at once that nobody is reached.
      expect(() => a.run('ip', 'route', 'get', pod)).toThrow(/No route to host|unreachable/);
      if (etcd) await a.startReady();
      else {
        a.start();
        await until(() => a.probe('readyz') !== '000');
      }
    } finally {
      a.run('sh', '-c', `kill $(cat ${a.directory}/ping)`);
    }
    if (etcd) await until(() => a.canPing(b));
    expect(open.stop()).toBe(0);
  });

  test('into another network removes what was left of the old one, and the file of the old lease before there is a new one', async () => {
    const [a] = await startTwo();
    await a.stop();
    cluster.etcd.put(`${PREFIX}/config`, CONFIG.replace('10.244', '10.9'));
    await a.startReady();
    expect(a.subnet).toMatch(/^10\.9\./);
    expect(a.ip('route', 'show', '10.244.0.0/16')).toBe('');
  });

  test('a subnet that another node has taken leaves no file for pods behind', async () => {
    const [a] = await startTwo();
    const key = `${PREFIX}/subnets/${a.subnet.replace('.1/24', '.0-24')}`;
    cluster.etcd.put(key, '{"PublicIP":"10.64.0.200","PublicIPv6":null}');
    expect(await a.untilEnded()).toMatchObject({ code: 1 });
    expect(existsSync(a.subnetFile)).toBe(false);
  });
});

test('-ip-blackhole-route drops packets for addresses that no pod has, behind the routes of pods, and is put back', async () => {
  cluster = await Cluster.create(program, 1);
  cluster.etcd.put(`${PREFIX}/config`, CONFIG);
  const [node] = cluster.nodes as [Node];
  await node.startReady(['-ip-blackhole-route']);
  const subnet = node.subnet.replace('.1/24', '.0/24');
  const [pod, nobody] = [subnet.replace('.0/24', '.7'), subnet.replace('.0/24', '.8')];
  const blackholes = () => node.ip('route', 'show', 'type', 'blackhole', subnet);
  // As Canal does: a route for each pod, and none for the subnet.
  node.ip('link', 'add', 'cali0', 'type', 'bridge');
  node.ip('link', 'set', 'cali0', 'up');
  node.ip('route', 'add', `${pod}/32`, 'dev', 'cali0');
  expect(node.ip('route', 'get', pod)).toContain('dev cali0');
  expect(() => node.ip('route', 'get', nobody)).toThrow(/Invalid argument/);
  node.ip('route', 'delete', 'blackhole', subnet);
  await until(() => blackholes() !== '');
  // The bridge of pods has the better metric.
  node.addPodAddress();
  expect(node.ip('route', 'get', nobody)).not.toContain('flannel0');
  await node.stop();
  expect(blackholes()).not.toBe('');
  await node.startReady();
  await until(() => blackholes() === '');
});

test("flannel's documented network, which holds the addresses of nodes and etcd, leaves both reachable", async () => {
  const documented =
    '{"Network":"10.0.0.0/8","SubnetLen":20,"SubnetMin":"10.10.0.0","SubnetMax":"10.99.0.0","Backend":{"Type":"udp"}}';
  cluster = await Cluster.create(program, 2);
  cluster.etcd.put(`${PREFIX}/config`, documented);
  const [a, b] = cluster.nodes as [Node, Node];
  // The second node is in another segment, behind the router.
  cluster.router('ip', 'address', 'add', '10.65.0.1/24', 'dev', 'vpc0');
  cluster.router('sysctl', '-qw', 'net.ipv4.ip_forward=1');
  b.ip('address', 'flush', 'dev', 'eth0');
  b.ip('address', 'add', '10.65.0.17/24', 'dev', 'eth0');
  b.ip('route', 'add', 'default', 'via', '10.65.0.1');
  for (const node of [a, b]) node.start();
  for (const node of [a, b]) {
    await node.untilReady();
    node.addPodAddress();
  }
  await until(() => a.canPing(b) && b.canPing(a));
  for (const address of [GATEWAY, '10.65.0.17']) {
    expect(a.ip('route', 'get', address)).toContain('dev eth0');
    a.run('ping', '-c', '1', '-W', '2', address);
  }
  expect(a.ip('route', 'show', 'dev', 'flannel0')).toBe(`${b.subnet.replace('.1/20', '.0/20')} proto 241 \n`);
  // A subnet with etcd in it is nobody's.
  cluster.etcd.put(`${PREFIX}/subnets/10.64.0.0-20`, '{"PublicIP":"10.65.0.99"}');
  await until(() => a.logged('its subnet 10.64.0.0/20 covers') === 1);
  expect(a.ip('route', 'get', GATEWAY)).toContain('dev eth0');
  // After a restart, too, and with the routes of before it.
  await a.stop();
  await a.startReady();
  await until(() => a.canPing(b));
});

describe('routes and rules of yours in the way of packets for another node', () => {
  interface Trouble {
    readonly part: string;
    readonly trouble: string;
    readonly remedy: string;
  }
  const troubles = (node: Node): Trouble[] => JSON.parse(node.get('status')).troubles;
  const inTheWay = (node: Node) => troubles(node).find(({ part }) => part === 'other routes');

  test.each(['udp', 'vxlan'])('are named in /readyz with the command that removes them, and stay: %s', async (type) => {
    const [a, b] = await startTwo(CONFIG.replace('udp', type));
    const subnet = b.subnet.replace('.1/24', '.0/24');
    const half = subnet.replace('.0/24', '.0/25');
    const ways: readonly (readonly [string, string, string])[] = [
      [`route add ${half} via ${GATEWAY}`, `by a route that is not ours, ${half} via ${GATEWAY} dev eth0`, 'route'],
      [
        `rule add to ${subnet} lookup 100 priority 77`,
        'by the rule 77, which is not ours, to table 100, by eth0',
        'rule',
      ],
      [`rule add from ${a.subnet.replace('.1/', '.0/')} lookup 100 priority 78`, 'by the rule 78', 'rule'],
      [`rule add to ${subnet} lookup 101 priority 79`, 'by the rule 79, which is not ours, to nowhere', 'rule'],
    ];
    a.ip('route', 'add', 'default', 'via', GATEWAY, 'table', '100');
    a.ip('route', 'add', 'unreachable', 'default', 'table', '101');
    for (const [command, said, what] of ways) {
      a.ip(...command.split(' '));
      await until(() => inTheWay(a)?.trouble.includes(said) === true);
      expect(a.probe('readyz')).toContain(`other routes: packets for ${what === 'rule' ? subnet : half} do not go to`);
      expect(inTheWay(a)!.trouble).toContain(`the node at ${b.address}`);
      const { remedy } = inTheWay(a)!;
      expect(a.ip(what, 'show')).toContain(what === 'rule' ? 'lookup 10' : half);
      // It is the one command that mends it.
      a.ip(...remedy.split(' ').slice(1));
      await until(() => inTheWay(a) === undefined && a.canPing(b));
    }
    await until(() => a.probe('readyz') === '200 flanneld is ready');
    a.ip('route', 'add', b.podAddress, 'via', GATEWAY);
    await until(() => a.get('readyz?verbose').includes(`but by a route that is not ours, ${b.podAddress}/32 via`));
    expect(inTheWay(a)).toBeUndefined();
  });
});
