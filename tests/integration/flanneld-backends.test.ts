/** What holds for every backend, in both families; what holds for those that leave packets to the kernel; and what is particular to one. */
import { readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { COMMON, suiteResults, suiteScript } from './support/backend-suite.ts';
import { Cluster, GATEWAY, type Node, PREFIX, until } from './support/cluster.ts';
import { bundleFlanneld, compileFlanneld } from './support/flanneld-bundle.ts';
import { addPod, canPing6, ipv6Subnet } from './support/ipv6.ts';
import { startNumbered } from './support/numbered.ts';
import { runInPrivate } from './support/private-machine.ts';

jest.setTimeout(120_000);

const FLUSH_FDB =
  "bridge fdb show dev flannel.1 | while read mac rest; do bridge fdb del $mac dev flannel.1 self $(echo $rest | grep -o 'dst [0-9.]*'); done";
const OTHER_DEVICE =
  'ip link delete flannel.1; ip link add flannel.1 type vxlan id 9 dstport 8472 dev eth0; ip link set flannel.1 up';

let program: string;
beforeAll(async () => {
  program = await bundleFlanneld();
});
afterAll(() => rmSync(path.dirname(program), { recursive: true, force: true }));

// ipip and wireguard need kernels that have them: tests/kernel.
test.each(COMMON)(
  '$name does what every backend has to do',
  async (each) => {
    const compiled = path.dirname(compileFlanneld());
    try {
      const script = suiteScript([each]);
      expect(await runInPrivate({ script, programs: compiled, timeoutMs: 280_000 })).toEqual(suiteResults([each]));
    } finally {
      rmSync(compiled, { recursive: true, force: true });
    }
  },
  300_000,
);

describe.each([
  { type: 'vxlan', more: {} },
  { type: 'vxlan', more: { DirectRouting: true } },
  { type: 'host-gw', more: {} },
])('$type with $more', ({ type, more }) => {
  let cluster: Cluster;
  let [a, b] = [] as unknown as [Node, Node];
  const routes = (node: Node, family: '-4' | '-6') => node.ip(family, 'route', 'show', 'proto', '241');
  const reachEachOther = () => a.canPing(b) && b.canPing(a) && canPing6(a, b) && canPing6(b, a);
  beforeAll(async () => {
    cluster = await Cluster.create(program, 2, { underlay: 'both' });
    const networks = { Network: '10.5.0.0/16', EnableIPv6: true, IPv6Network: 'fd00:5::/48' };
    cluster.etcd.put(`${PREFIX}/config`, JSON.stringify({ ...networks, Backend: { Type: type, ...more } }));
    [a, b] = cluster.nodes as [Node, Node];
    for (const node of cluster.nodes) node.start(['-ip-masq']);
    // Ready means that the other one has answered, whose bridge of pods is not there yet.
    for (const node of cluster.nodes) await node.untilReady();
    for (const node of cluster.nodes) addPod(node);
  });
  afterAll(() => cluster.destroy());

  test('no packet is lost while flanneld is killed, dead and started again', async () => {
    const stop = await startNumbered(a.place(a.podAddress), b.place(b.podAddress));
    await a.kill();
    await new Promise((resolve) => setTimeout(resolve, 1000));
    a.start(['-ip-masq']);
    await a.untilReady();
    for (const { sent, lost } of await stop()) {
      expect(sent).toBeGreaterThan(50);
      expect(lost).toEqual([]);
    }
  });

  test('a bridge of pods that is taken down is up again, with its addresses, and the log says so once', async () => {
    const down = 'The bridge cni0 was down, which cuts off the pods of this node: it is up again';
    for (let i = 0; i < 10; i++) {
      a.ip('link', 'set', 'cni0', 'down');
      await until(() => a.ip('-br', 'link', 'show', 'cni0').includes('UP'));
      await until(reachEachOther);
    }
    expect(a.logged(down)).toBe(1);
    await a.untilReady();
  });

  test('a bridge of pods that is still being made is left to who makes it', async () => {
    const said = a.logged('The bridge cni0 was down');
    const addresses = [a.subnet, ipv6Subnet(a)];
    a.ip('link', 'delete', 'cni0');
    a.ip('link', 'add', 'cni0', 'type', 'bridge');
    for (const address of addresses) a.ip('address', 'add', address, 'dev', 'cni0', 'nodad');
    await new Promise((resolve) => setTimeout(resolve, 1000));
    expect(a.ip('-br', 'link', 'show', 'cni0')).not.toContain('UP');
    a.ip('link', 'set', 'cni0', 'up');
    await until(reachEachOther);
    expect(a.logged('The bridge cni0 was down')).toBe(said);
  });

  test('routes that flannel made are taken over without a gap', async () => {
    await a.stop();
    const flannels = (line: string) => line.replace(/ proto 241/, ' proto boot').trim();
    const [route] = routes(a, '-4')
      .split('\n')
      .filter((line) => line.startsWith('10.5.'));
    a.ip('route', 'delete', ...route!.trim().split(/\s+/));
    a.ip('route', 'add', ...flannels(route!).split(/\s+/));
    const stop = await startNumbered(a.place(a.podAddress), b.place(b.podAddress), { everyMs: 1 });
    a.start(['-ip-masq']);
    await until(() => routes(a, '-4').includes(route!.trim().split(' ')[0]!));
    for (const { lost } of await stop()) expect(lost).toEqual([]);
    expect(a.ip('route', 'show', 'proto', 'boot')).not.toContain('10.5.');
    await a.untilReady();
  });
});

test('a change of the backend is followed by all nodes, there and back, without a new process', async () => {
  const cluster = await Cluster.create(program, 2);
  try {
    const config = (backend: object, more: object = {}) =>
      cluster.etcd.put(`${PREFIX}/config`, JSON.stringify({ Network: '10.5.0.0/16', Backend: backend, ...more }));
    config({ Type: 'udp' });
    const [a, b] = cluster.nodes as [Node, Node];
    for (const node of cluster.nodes) node.start();
    for (const node of cluster.nodes) {
      await node.untilReady();
      node.addPodAddress();
    }
    const subnets = cluster.nodes.map((node) => node.subnet);
    const pids = cluster.nodes.map((node) => node.pid);
    // Between two backends the network is unreachable.
    const route = (node: Node) => node.run('sh', '-c', `ip route get ${b.podAddress.replace(/1$/, '9')} || true`);
    for (const [backend, dev] of [
      [{ Type: 'vxlan' }, 'flannel.1'],
      [{ Type: 'host-gw' }, 'eth0'],
      [{ Type: 'vxlan', VNI: 7, Port: 4789, GBP: true, Learning: true }, 'flannel.7'],
      [{ Type: 'udp', Port: 9000 }, 'flannel0'],
      [{ Type: 'udp' }, 'flannel0'],
    ] as const) {
      config(backend);
      await until(() => route(a).includes(` dev ${dev} `) && a.canPing(b) && b.canPing(a));
      for (const node of cluster.nodes) await node.untilReady();
      if (dev !== 'flannel.7') continue;
      const device = a.ip('-d', 'link', 'show', dev);
      expect(device).toMatch(/vxlan id 7 .* dstport 4789 (?!nolearning).* gbp /);
    }
    // What an earlier backend had is removed once the next one works.
    await until(() => !a.ip('-br', 'link').includes('flannel.'));
    expect(cluster.nodes.map((node) => node.subnet)).toEqual(subnets);
    expect(cluster.nodes.map((node) => node.pid)).toEqual(pids);

    config({ Type: 'udp' }, { Network: '10.6.0.0/16' });
    await until(() => a.logged('another IPv4 network, which takes effect when flanneld is started again') > 0);
    expect(a.canPing(b)).toBe(true);
    config({ Type: 'ipip' });
    await until(() => a.logged('this node cannot follow it') > 0);
    expect(a.get('readyz?verbose')).toContain('network config');
    config({ Type: 'udp' });
    await until(() => !a.get('readyz?verbose').includes('network config'));
    expect(a.canPing(b)).toBe(true);

    // Nodes without IPv6 addresses go on, and follow once they have some.
    config({ Type: 'vxlan' }, { EnableIPv6: true, IPv6Network: 'fd00:5::/48' });
    for (const node of cluster.nodes)
      await until(() => node.logged('this node cannot follow it: Found no interface') > 0);
    expect(a.probe('readyz')).toBe('200 flanneld is ready');
    expect(a.canPing(b)).toBe(true);
    for (const [i, node] of cluster.nodes.entries()) {
      node.ip('address', 'add', `fd00:64::${i + 1}/64`, 'dev', 'eth0', 'nodad');
    }
    await until(() => a.ip('-6', 'route').includes('dev flannel-v6.1'));
    for (const node of cluster.nodes) await node.untilReady();
    await until(() => a.canPing(b));
    expect(cluster.nodes.map((node) => node.pid)).toEqual(pids);
  } finally {
    await cluster.destroy();
  }
});

describe('vxlan', () => {
  let cluster: Cluster;
  let [a, b] = [] as unknown as [Node, Node];
  const macOf = (node: Node) => /link\/ether (\S+)/.exec(node.ip('link', 'show', 'flannel.1'))?.[1];
  const lease = (node: Node) => cluster.etcd.get(`${PREFIX}/subnets/${node.subnet.replace('.1/24', '.0-24')}`);

  beforeAll(async () => {
    cluster = await Cluster.create(program, 2);
    cluster.etcd.put(`${PREFIX}/config`, '{"Network":"10.5.0.0/16","Backend":{"Type":"vxlan"}}');
    [a, b] = cluster.nodes as [Node, Node];
    for (const node of cluster.nodes) node.start();
    for (const node of cluster.nodes) await node.untilReady();
    for (const node of cluster.nodes) node.addPodAddress();
  });
  afterAll(() => cluster.destroy());

  test.each([
    ['is deleted', ['ip', 'link', 'delete', 'flannel.1']],
    ['is taken down', ['ip', 'link', 'set', 'flannel.1', 'down']],
    ['gets another MAC address', ['ip', 'link', 'set', 'flannel.1', 'address', '02:00:00:00:00:77']],
    ['loses its addresses', ['ip', 'address', 'flush', 'dev', 'flannel.1']],
    ['loses its neighbours', ['ip', 'neighbour', 'flush', 'dev', 'flannel.1', 'nud', 'permanent']],
    ['loses its routes', ['ip', 'route', 'flush', 'proto', '241']],
    ['loses its forwarding entries', ['sh', '-c', FLUSH_FDB]],
    ['is another one of the name', ['sh', '-c', OTHER_DEVICE]],
  ])('a device that %s is as it was, and nothing is published anew', async (_, command) => {
    const before = [macOf(a), lease(a)];
    a.run(...command);
    await until(() => a.canPing(b) && b.canPing(a));
    expect([macOf(a), lease(a)]).toEqual(before);
  });

  test('entries of a peer that is gone are removed, and those of a peer that moved are replaced', async () => {
    const key = `${PREFIX}/subnets/10.5.250.0-24`;
    const value = (ip: string, mac: string) =>
      `{"PublicIP":"${ip}","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"${mac}"}}`;
    const entries = () => a.run('sh', '-c', 'bridge fdb show dev flannel.1; ip neighbour show dev flannel.1');
    cluster.etcd.put(key, value('10.64.0.98', '02:00:00:00:00:98'));
    await until(() => entries().includes('02:00:00:00:00:98 dst 10.64.0.98'));
    cluster.etcd.put(key, value('10.64.0.99', '02:00:00:00:00:99'));
    await until(() => entries().includes('02:00:00:00:00:99 dst 10.64.0.99'));
    await until(() => !entries().includes('02:00:00:00:00:98'));
    cluster.etcd.etcdctl('del', key);
    await until(() => !entries().includes('02:00:00:00:00:99'));
    expect(a.ip('route')).not.toContain('10.5.250.0');
  });

  test('the MAC address outlives a reboot, so that peers go on', async () => {
    const before = [macOf(a), lease(a)];
    await a.stop();
    a.ip('link', 'delete', 'flannel.1');
    await a.startReady();
    await until(() => a.canPing(b));
    expect([macOf(a), lease(a)]).toEqual(before);
  });

  test('a device that somebody else made with the name is left alone, and said', async () => {
    await a.stop();
    a.ip('link', 'delete', 'flannel.1');
    a.ip('link', 'add', 'flannel.1', 'type', 'bridge');
    a.start();
    await until(() => a.probe('readyz').includes('the device flannel.1 is not ours but'));
    expect(a.ip('-d', 'link', 'show', 'flannel.1')).toContain('bridge');
    expect(a.ip('address', 'show', 'flannel.1')).not.toContain('inet 10.5.');
    a.ip('link', 'delete', 'flannel.1');
    await a.untilReady();
    await until(() => a.canPing(b));
  });

  test('a device of somebody else with the same VNI and port is named', async () => {
    await a.stop();
    const port = /dstport (\d+)/.exec(a.ip('-d', 'link', 'show', 'flannel.1'))![1]!;
    a.ip('link', 'delete', 'flannel.1');
    a.ip('link', 'add', 'theirs', 'type', 'vxlan', 'id', '1', 'dev', 'eth0', 'dstport', port, 'nolearning');
    a.start();
    await until(() => a.probe('readyz').includes('theirs'));
    a.ip('link', 'delete', 'theirs');
    await a.untilReady();
  });
});

test('host-gw refuses a node that is behind a router', async () => {
  const cluster = await Cluster.create(program, 1);
  try {
    cluster.etcd.put(`${PREFIX}/config`, '{"Network":"10.5.0.0/16","Backend":{"Type":"host-gw"}}');
    cluster.etcd.put(
      `${PREFIX}/subnets/10.5.250.0-24`,
      '{"PublicIP":"192.0.2.9","PublicIPv6":null,"BackendType":"host-gw"}',
    );
    const [node] = cluster.nodes as [Node];
    await node.startReady();
    await until(() => node.logged("192.0.2.9 is on no link of this node's, which host-gw needs") > 0);
    expect(node.probe('readyz')).toBe('200 flanneld is ready');
  } finally {
    await cluster.destroy();
  }
});

test('host-gw follows an address that changes, and probes from the new one', async () => {
  const cluster = await Cluster.create(program, 2);
  try {
    cluster.etcd.put(`${PREFIX}/config`, '{"Network":"10.5.0.0/16","Backend":{"Type":"host-gw"}}');
    const [a, b] = cluster.nodes as [Node, Node];
    for (const node of cluster.nodes) node.start();
    for (const node of cluster.nodes) await node.untilReady();
    for (const node of cluster.nodes) node.addPodAddress();
    const probesFrom = (address: string) => a.run('ss', '-Hanw').includes(`${address}:1`);
    await until(() => probesFrom(a.address));
    a.ip('address', 'flush', 'dev', 'eth0');
    a.ip('address', 'add', '10.64.0.116/24', 'dev', 'eth0');
    a.ip('route', 'add', 'default', 'via', GATEWAY);
    await until(() => b.ip('route').includes('via 10.64.0.116'));
    await until(() => probesFrom('10.64.0.116'));
    await until(() => a.canPing(b) && b.canPing(a));
    await a.untilReady();
  } finally {
    await cluster.destroy();
  }
});

test('alloc acquires a lease, writes the subnet file, and leaves the kernel as it is', async () => {
  const cluster = await Cluster.create(program, 1);
  try {
    cluster.etcd.put(`${PREFIX}/config`, '{"Network":"10.5.0.0/16","Backend":{"Type":"alloc"}}');
    const [node] = cluster.nodes as [Node];
    // Without link-local addresses, which become usable at a time of the kernel's.
    const kernel = () => node.ip('route', 'show', 'table', 'all').replace(/^.*fe80.*\n/gm, '') + node.ip('-br', 'link');
    const before = kernel();
    await node.startReady();
    expect(readFileSync(node.subnetFile, 'utf8')).toContain('FLANNEL_MTU=1500\n');
    expect(cluster.etcd.get(`${PREFIX}/subnets/${node.subnet.replace('.1/24', '.0-24')}`)).toBe(
      `{"PublicIP":"${node.address}","PublicIPv6":null}`,
    );
    expect(kernel()).toBe(before);
  } finally {
    await cluster.destroy();
  }
});
