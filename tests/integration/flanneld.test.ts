import { readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { Cluster, type Node, PREFIX, until } from './support/cluster.ts';
import { bundleFlanneld } from './support/flanneld-bundle.ts';

jest.setTimeout(60_000);

const CONFIG = '{"Network":"10.5.0.0/16","Backend":{"Type":"udp"}}';

let program: string;
beforeAll(async () => {
  program = await bundleFlanneld();
});
afterAll(() => rmSync(path.dirname(program), { recursive: true, force: true }));

describe('three nodes', () => {
  let cluster: Cluster;
  let [a, b, c] = [] as unknown as [Node, Node, Node];

  beforeAll(async () => {
    cluster = await Cluster.create(program, 3);
    cluster.etcd.put(`${PREFIX}/config`, CONFIG);
    [a, b, c] = cluster.nodes as [Node, Node, Node];
    // A route of an earlier life, to a node that is gone.
    a.ip('route', 'add', '10.5.250.0/24', 'via', '10.64.0.99', 'proto', '241');
    for (const node of cluster.nodes) node.start();
    for (const node of cluster.nodes) await node.untilReady();
    for (const node of cluster.nodes) node.addPodAddress();
  });
  afterAll(() => cluster?.destroy());
  afterEach(() => {
    if (expect.getState().assertionCalls === 0) return;
    for (const node of cluster.nodes) expect(node.log.filter(({ level }) => level >= 60)).toEqual([]);
  });

  const healed = async (node: Node, trouble: () => void) => {
    const { pid } = node;
    trouble();
    await until(() => node.canPing(b) && b.canPing(node));
    expect(node.pid).toBe(pid);
    await node.untilReady();
  };

  test('subnet.env, the lease, the device and the route are as flannel makes them', () => {
    const subnet = a.subnet;
    expect(subnet).toMatch(/^10\.5\.\d+\.1\/24$/);
    expect(readFileSync(a.subnetFile, 'utf8')).toBe(
      `FLANNEL_NETWORK=10.5.0.0/16\nFLANNEL_SUBNET=${subnet}\nFLANNEL_MTU=1472\nFLANNEL_IPMASQ=false\n`,
    );
    const base = subnet.replace('.1/24', '.0');
    expect(cluster.etcd.get(`${PREFIX}/subnets/${base}-24`)).toBe(`{"PublicIP":"${a.address}","PublicIPv6":null}`);
    expect(a.ip('-o', '-4', 'address', 'show', 'flannel0')).toContain(`inet ${base}/32 scope global flannel0`);
    expect(a.ip('link', 'show', 'flannel0')).toContain('mtu 1472');
    expect(a.ip('route', 'show', '10.5.0.0/16')).toMatch(/^10\.5\.0\.0\/16 dev flannel0 proto 241 ?\n$/);
    expect(a.run('cat', '/proc/sys/net/ipv4/ip_forward')).toBe('1\n');
  });

  test('pods of all nodes reach each other', async () => {
    for (const from of cluster.nodes) for (const to of cluster.nodes) await until(() => from.canPing(to));
  });

  test('a stale route of ours is removed at the start', () => {
    expect(a.ip('route', 'show', '10.5.250.0/24')).toBe('');
  });

  test('/healthz and /readyz answer', () => {
    expect(a.probe('healthz')).toBe('200 flanneld is running');
    expect(a.probe('readyz')).toBe('200 flanneld is ready');
  });

  test('a deleted flannel0 is made again', () => healed(a, () => a.ip('link', 'delete', 'flannel0')));
  test('flannel0 set down is set up again', () => healed(a, () => a.ip('link', 'set', 'flannel0', 'down')));
  test('a removed address comes back', async () => {
    await healed(a, () => a.ip('address', 'flush', 'dev', 'flannel0'));
    expect(a.ip('-o', '-4', 'address', 'show', 'flannel0')).toContain('/32');
  });
  test('a removed route comes back', () => healed(a, () => a.ip('route', 'delete', '10.5.0.0/16')));
  test('a route changed by somebody is put right', async () => {
    await healed(a, () => a.ip('route', 'replace', '10.5.0.0/16', 'via', '10.64.0.1'));
    await until(() => a.ip('route', 'show', '10.5.0.0/16').includes('proto 241'));
  });
  test('a changed MTU is put right', () =>
    healed(a, () => a.ip('link', 'set', 'flannel0', 'mtu', '1300')).then(() =>
      until(() => a.ip('link', 'show', 'flannel0').includes('mtu 1472')),
    ));
  test('a flap of the underlay is survived', () =>
    healed(a, () => {
      a.ip('link', 'set', 'eth0', 'down');
      a.ip('link', 'set', 'eth0', 'up');
      a.ip('route', 'replace', 'default', 'via', '10.64.0.1');
    }));
  test('an address of the underlay that goes and comes is survived', () =>
    healed(a, () => {
      a.ip('address', 'delete', `${a.address}/24`, 'dev', 'eth0');
      a.ip('address', 'add', `${a.address}/24`, 'dev', 'eth0');
      a.ip('route', 'replace', 'default', 'via', '10.64.0.1');
    }));
  test('a removed subnet file is written again', async () => {
    const before = readFileSync(a.subnetFile, 'utf8');
    rmSync(a.subnetFile);
    await until(() => {
      try {
        return readFileSync(a.subnetFile, 'utf8') === before;
      } catch {
        return false;
      }
    });
  });

  test('traffic goes on without etcd, and what changed meanwhile is taken up when it is back', async () => {
    await cluster.etcd.stop();
    expect(a.canPing(b)).toBe(true);
    await c.stop('SIGKILL');
    await new Promise((resolve) => setTimeout(resolve, 3000));
    expect(a.canPing(b) && b.canPing(a)).toBe(true);
    expect(a.probe('readyz')).toBe('200 flanneld is ready');
    await cluster.etcd.start();
    // The third node comes back under another address: the same subnet, another peer.
    c.ip('address', 'add', '10.64.0.77/24', 'dev', 'eth0');
    cluster.etcd.put(
      `${PREFIX}/subnets/${c.subnet.replace('.1/24', '.0-24')}`,
      '{"PublicIP":"10.64.0.77","PublicIPv6":null}',
    );
    await c.startReady(['-iface=10.64.0.77']);
    await until(() => a.canPing(c) && c.canPing(a));
    expect(a.logged('Lost the watch')).toBeLessThanOrEqual(2);
  });

  test('the same subnet is taken again after its lease was deleted', async () => {
    const key = `${PREFIX}/subnets/${b.subnet.replace('.1/24', '.0-24')}`;
    cluster.etcd.etcdctl('del', key);
    await until(() => cluster.etcd.get(key) !== undefined);
    await until(() => a.canPing(b));
  });

  test('SIGTERM ends it with 0, the subnet file stays, and a restart takes the same subnet', async () => {
    const subnet = a.subnet;
    const ended = await a.stop();
    expect(ended).toMatchObject({ code: 0 });
    expect(a.subnet).toBe(subnet);
    await a.startReady();
    expect(a.subnet).toBe(subnet);
    await until(() => a.canPing(b) && b.canPing(a));
  });

  test('a subnet taken by another node ends the daemon with 1 and a clear message', async () => {
    const name = c.subnet.replace('.1/24', '.0-24');
    cluster.etcd.put(`${PREFIX}/subnets/${name}`, '{"PublicIP":"10.64.0.200","PublicIPv6":null}');
    expect(await c.untilEnded()).toMatchObject({ code: 1 });
    expect(c.text).toContain('now is that of 10.64.0.200');
    c.log = [];
  });

  test('release gives back the lease, cleanup removes what is left', async () => {
    const key = `${PREFIX}/subnets/${b.subnet.replace('.1/24', '.0-24')}`;
    await b.stop();
    expect(b.command('release', ...b.flags())).toMatchObject({ code: 0 });
    expect(cluster.etcd.get(key)).toBeUndefined();
    b.ip('route', 'add', '10.5.0.0/16', 'via', '10.64.0.1', 'proto', '241');
    expect(b.command('cleanup', ...b.flags())).toMatchObject({ code: 0 });
    expect(b.ip('route', 'show', '10.5.0.0/16')).toBe('');
    expect(() => readFileSync(b.subnetFile)).toThrow('ENOENT');
    expect(b.run('nft', 'list', 'tables')).toBe('');
  });
});

describe('one node', () => {
  let cluster: Cluster;
  afterEach(() => cluster?.destroy());

  test('it waits for an etcd that is not there yet, and says so once', async () => {
    cluster = await Cluster.create(program, 1, { etcd: false });
    const [node] = cluster.nodes as [Node];
    node.start();
    await until(() => node.logged('Waiting for the network config') > 0);
    expect(node.probe('readyz')).toMatch(/^503 flanneld is not ready yet\nlease: not yet started/);
    expect(node.probe('healthz')).toBe('200 flanneld is running');
    await cluster.startEtcd();
    await until(() => node.logged('is not there') > 0);
    cluster.etcd.put(`${PREFIX}/config`, CONFIG);
    await node.untilReady();
    expect(node.logged('Waiting for the network config')).toBeLessThanOrEqual(4);
  });

  test('SIGTERM ends it while it waits for etcd', async () => {
    cluster = await Cluster.create(program, 1, { etcd: false });
    const [node] = cluster.nodes as [Node];
    node.start();
    await until(() => node.logged('Waiting for the network config') > 0);
    expect(await node.stop()).toMatchObject({ code: 0 });
  });

  test('-ip-masq sets rules, and sets them again when somebody flushes them', async () => {
    cluster = await Cluster.create(program, 1);
    cluster.etcd.put(`${PREFIX}/config`, CONFIG);
    const [node] = cluster.nodes as [Node];
    await node.startReady(['-ip-masq', '-iptables-resync=1']);
    expect(node.run('nft', 'list', 'ruleset')).toContain('masquerade');
    expect(readFileSync(node.subnetFile, 'utf8')).toContain('FLANNEL_IPMASQ=true');
    node.run('nft', 'flush', 'ruleset');
    await until(() => node.run('nft', 'list', 'ruleset').includes('masquerade'));
  });

  test('a backend it does not have is refused with one sentence', async () => {
    cluster = await Cluster.create(program, 1);
    cluster.etcd.put(`${PREFIX}/config`, '{"Network":"10.5.0.0/16","Backend":{"Type":"vxlan"}}');
    const [node] = cluster.nodes as [Node];
    node.start();
    expect(await node.untilEnded()).toMatchObject({ code: 1 });
    expect(node.log.at(-1)?.msg).toContain('Backend type vxlan is not available in this flanneld');
  });

  test('a second flanneld on the same port fails with a hint', async () => {
    cluster = await Cluster.create(program, 1);
    cluster.etcd.put(`${PREFIX}/config`, CONFIG);
    const [node] = cluster.nodes as [Node];
    await node.startReady();
    const second = node.command(...node.flags('-healthz-port=0'));
    expect(second.code).toBe(1);
    expect(second.stderr).toContain('does another flanneld run here?');
  });

  test('exit codes: 2 for wrong usage, 0 for --help and --version', async () => {
    cluster = await Cluster.create(program, 1, { etcd: false });
    const [node] = cluster.nodes as [Node];
    expect(node.command('-no-such-flag')).toEqual({
      code: 2,
      stderr: 'flanneld: Unknown flag -no-such-flag: run flanneld --help for the list\n',
    });
    expect(node.command('--version').code).toBe(0);
    expect(node.command('--help').code).toBe(0);
  });
});
