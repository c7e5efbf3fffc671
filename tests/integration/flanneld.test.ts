import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { Cluster, GATEWAY, type Node, PREFIX, until } from './support/cluster.ts';
import { makeCertificates } from './support/etcd-server.ts';
import { bundleFlanneld, compileFlanneld } from './support/flanneld-bundle.ts';
import { NotifySocket } from './support/notify-socket.ts';
import { now, printJourneys, startNumbered } from './support/numbered.ts';

jest.setTimeout(240_000);

const CONFIG = '{"Network":"10.5.0.0/16","Backend":{"Type":"udp"}}';

const programs: string[] = [];
/** Made when the first test needs it. */
const program = (make: () => string | Promise<string>) => {
  let made: string | undefined;
  return async () => {
    made ??= await make();
    programs.push(made);
    return made;
  };
};
const PROGRAMS = [
  ['a Node bundle', program(bundleFlanneld)],
  ['a binary compiled by Bun', program(compileFlanneld)],
] as const;
afterAll(() => {
  for (const made of programs) rmSync(path.dirname(made), { recursive: true, force: true });
});

describe.each(PROGRAMS)('three nodes with %s', (_, make) => {
  let cluster: Cluster;
  let [a, b, c] = [] as unknown as [Node, Node, Node];

  beforeAll(async () => {
    cluster = await Cluster.create(await make(), 3);
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
    expect(a.ip('route', 'show', '10.5.0.0/16')).toMatch(
      /^10\.5\.0\.0\/16 dev flannel0 proto 241 ?\nunreachable 10\.5\.0\.0\/16 proto 241 metric \d+ ?\n$/,
    );
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

  test('/metrics counts packets, and shows that the daemon uses no more than 80 MB', async () => {
    const value = (name: string) => Number(new RegExp(`^${name} (.*)$`, 'm').exec(a.probe('metrics'))?.[1]);
    const before = value('flannel_engine_sent_packets_total');
    await until(() => a.canPing(b));
    expect(value('flannel_engine_sent_packets_total')).toBeGreaterThan(before);
    expect(value(`flannel_engine_peer_sent_packets_total{peer="${b.address}"}`)).toBeGreaterThan(0);
    expect([value('flannel_ready'), value('flannel_leases')]).toEqual([1, 3]);
    // A second after the first ready it lets go of what only the start needed.
    if (!a.program.endsWith('.cjs')) await until(() => value('process_resident_memory_bytes') < 80e6);
  });

  test('a deleted flannel0 is made again', () => healed(a, () => a.ip('link', 'delete', 'flannel0')));
  test('a device of another kind that has the name is left alone', async () => {
    await healed(a, () => {
      process.kill(a.pid!, 'SIGSTOP'); // it would be as fast as we are
      a.ip('link', 'delete', 'flannel0');
      a.ip('link', 'add', 'flannel0', 'type', 'bridge');
      process.kill(a.pid!, 'SIGCONT');
    });
    expect(a.ip('route', 'show', '10.5.0.0/16')).toContain('dev flannel1');
    a.ip('link', 'delete', 'flannel0');
    expect(a.canPing(b)).toBe(true);
    // Back to its first name for the tests to come.
    await a.stop();
    await a.startReady();
  });
  test('flannel0 set down is set up again', () => healed(a, () => a.ip('link', 'set', 'flannel0', 'down')));
  test('a removed address comes back', async () => {
    await healed(a, () => a.ip('address', 'flush', 'dev', 'flannel0'));
    expect(a.ip('-o', '-4', 'address', 'show', 'flannel0')).toContain('/32');
  });
  test('a removed route comes back', () => healed(a, () => a.ip('route', 'delete', '10.5.0.0/16')));
  test('all routes that a network service removes as foreign come back', async () => {
    // As systemd-networkd does when it starts (ManageForeignRoutes=yes, its default).
    await healed(a, () => a.ip('route', 'flush', 'proto', '241', 'table', 'all'));
    await until(() => a.ip('route', 'show', 'type', 'unreachable').includes('10.5.0.0/16'));
  });
  test('a route of somebody else in the place of ours stays, is reported, and is no trouble once it is gone', async () => {
    a.ip('route', 'replace', '10.5.0.0/16', 'via', GATEWAY);
    await until(() => a.probe('readyz').includes('the route of 10.5.0.0/16 is not ours but 10.5.0.0/16 via 10.64.0.1'));
    expect(a.ip('route', 'show', '10.5.0.0/16', 'proto', 'boot')).toContain('via 10.64.0.1 dev eth0');
    await healed(a, () => a.ip('route', 'delete', '10.5.0.0/16', 'via', GATEWAY));
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
  test('a node whose interface is down is not ready, and is again when it is up', async () => {
    a.ip('link', 'set', 'eth0', 'down');
    await until(() => a.probe('readyz').includes('the interface eth0 is down'));
    a.ip('link', 'set', 'eth0', 'up');
    a.ip('route', 'replace', 'default', 'via', GATEWAY);
    await a.untilReady();
    await until(() => a.canPing(b));
  });
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

  test('traffic goes on without etcd, and what changed meanwhile is applied when it is back', async () => {
    const stopNumbered = await startNumbered(a.place(a.podAddress), b.place(b.podAddress));
    await cluster.etcd.stop();
    await c.stop('SIGKILL');
    await new Promise((resolve) => setTimeout(resolve, 3000));
    for (const { sent, lost } of await stopNumbered()) {
      expect(sent).toBeGreaterThan(100);
      expect(lost).toEqual([]);
    }
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
    // On the leases, the own lease and the config, once each.
    expect(a.logged('Lost the watch')).toBeGreaterThan(0);
    expect(a.logged('Lost the watch')).toBeLessThanOrEqual(3);
  });

  test('a daemon killed and started while etcd is down serves from what it kept, and goes on when etcd is back', async () => {
    const { subnet } = a;
    const kept = () => JSON.parse(readFileSync(a.subnetFile.replace('.env', '.state.json'), 'utf8'));
    await until(() => Object.keys(kept().leases ?? {}).length === 3);
    await cluster.etcd.stop();
    await a.stop('SIGKILL');
    a.start();
    await a.untilReady();
    await until(() => a.logged('Etcd does not answer: serving with the kept lease') === 1);
    expect(a.subnet).toBe(subnet);
    await until(() => a.canPing(b) && b.canPing(a));
    await cluster.etcd.start();
    await until(() => a.logged('still is this node') === 1);
    // A change among the peers arrives.
    const key = `${PREFIX}/subnets/10.5.253.0-24`;
    cluster.etcd.put(key, '{"PublicIP":"10.64.0.99","PublicIPv6":null}');
    await until(() => a.probe('metrics').includes('flannel_leases 4'));
    cluster.etcd.etcdctl('del', key);
    await until(() => a.probe('metrics').includes('flannel_leases 3'));
  });

  test('the same subnet is leased again after its lease was deleted', async () => {
    const key = `${PREFIX}/subnets/${b.subnet.replace('.1/24', '.0-24')}`;
    cluster.etcd.etcdctl('del', key);
    await until(() => cluster.etcd.get(key) !== undefined);
    await until(() => a.canPing(b));
  });

  test('SIGTERM ends it with 0, the subnet file stays, and a restart leases the same subnet', async () => {
    const subnet = a.subnet;
    const ended = await a.stop();
    expect(ended).toMatchObject({ code: 0 });
    expect(a.subnet).toBe(subnet);
    await a.startReady();
    expect(a.subnet).toBe(subnet);
    await until(() => a.canPing(b) && b.canPing(a));
  });

  test('a restart loses only what is sent from its end until it is ready again, and changes no order', async () => {
    const stopNumbered = await startNumbered(a.place(a.podAddress), b.place(b.podAddress));
    await new Promise((resolve) => setTimeout(resolve, 500));
    const from = now();
    await a.stop();
    await a.startReady();
    const to = now();
    await new Promise((resolve) => setTimeout(resolve, 500));
    const journeys = await stopNumbered();
    printJourneys(`A restart of ${(to - from).toFixed()} ms`, journeys);
    for (const { sent, lost, late, duplicates } of journeys) {
      expect(sent - lost.length).toBeGreaterThan(20);
      // What was on its way when it ended may be lost, too.
      expect(lost.filter((at) => at < from - 100 || at > to)).toEqual([]);
      expect([late, duplicates]).toEqual([0, 0]);
    }
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

describe.each(PROGRAMS)('one node with %s', (_, make) => {
  let cluster: Cluster;
  afterEach(() => cluster?.destroy());

  test('it waits for an etcd that is not there yet, and says so once', async () => {
    cluster = await Cluster.create(await make(), 1, { etcd: false });
    const [node] = cluster.nodes as [Node];
    node.start();
    await until(() => node.logged('Waiting for the network config') > 0);
    expect(node.probe('readyz')).toMatch(
      /^503 flanneld is not ready yet\nlease: waiting for the network config from etcd/,
    );
    expect(node.probe('healthz')).toBe('200 flanneld is running');
    await until(() => /lease: waiting for etcd .*, which has not answered for/.test(node.probe('readyz')));
    await cluster.startEtcd();
    await until(() => node.logged('is missing') > 0);
    cluster.etcd.put(`${PREFIX}/config`, CONFIG);
    await node.untilReady();
    expect(node.logged('Waiting for the network config')).toBeLessThanOrEqual(4);
  });

  test('SIGTERM ends it while it waits for etcd', async () => {
    cluster = await Cluster.create(await make(), 1, { etcd: false });
    const [node] = cluster.nodes as [Node];
    node.start();
    await until(() => node.logged('Waiting for the network config') > 0);
    expect(await node.stop()).toMatchObject({ code: 0 });
  });

  test('-ip-masq sets rules, and sets them again when somebody flushes them', async () => {
    cluster = await Cluster.create(await make(), 1);
    cluster.etcd.put(`${PREFIX}/config`, CONFIG);
    const [node] = cluster.nodes as [Node];
    await node.startReady(['-ip-masq', '-iptables-resync=1']);
    expect(node.run('nft', 'list', 'ruleset')).toContain('masquerade');
    expect(readFileSync(node.subnetFile, 'utf8')).toContain('FLANNEL_IPMASQ=true');
    node.run('nft', 'flush', 'ruleset');
    await until(() => node.run('nft', 'list', 'ruleset').includes('masquerade'));
  });

  test('a backend it does not have is refused with one sentence, and it starts once the config has another', async () => {
    cluster = await Cluster.create(await make(), 1);
    cluster.etcd.put(`${PREFIX}/config`, '{"Network":"10.5.0.0/16","Backend":{"Type":"extension"}}');
    const [node] = cluster.nodes as [Node];
    node.start();
    await until(
      () => node.logged('Backend type extension is refused: it runs commands of the network config as root') === 1,
    );
    expect(node.probe('readyz')).toMatch(
      /^503 flanneld is not ready yet\nlease: the network config in etcd \(\S+\) is not valid: Backend type extension is refused/,
    );
    cluster.etcd.put(`${PREFIX}/config`, CONFIG);
    await node.untilReady();
    expect(node.logged('Waiting for the network config')).toBe(1);
  });

  test('a second flanneld on the same port fails with a hint', async () => {
    cluster = await Cluster.create(await make(), 1);
    cluster.etcd.put(`${PREFIX}/config`, CONFIG);
    const [node] = cluster.nodes as [Node];
    await node.startReady();
    const second = node.command(...node.flags('-healthz-port=0'));
    expect(second.code).toBe(1);
    expect(second.stderr).toContain('does another flanneld run here?');
  });

  test('it speaks TLS with etcd, by a client certificate or with the authority alone', async () => {
    cluster = await Cluster.create(await make(), 1, { etcd: false });
    const [node] = cluster.nodes as [Node];
    const files = makeCertificates(cluster.directory, GATEWAY);
    for (const clientAuth of [true, false]) {
      await cluster.startEtcd({ ...files, clientAuth });
      cluster.etcd.put(`${PREFIX}/config`, CONFIG);
      const client = clientAuth ? [`-etcd-certfile=${files.cert}`, `-etcd-keyfile=${files.key}`] : [];
      await node.startReady([`-etcd-cafile=${files.ca}`, ...client]);
      // Nothing but our own lines on stderr.
      expect(node.log.filter(({ level }) => level > 30)).toEqual([]);
      expect(await node.stop()).toMatchObject({ code: 0 });
      await cluster.etcd.destroy();
    }
  });

  test.each([
    ['a certificate for another address', '10.64.0.2', true, /altnames/],
    ['a certificate of an authority it does not know', GATEWAY, false, /certificate/],
  ])('it does not speak with an etcd that has %s', async (_name, address, known, reason) => {
    cluster = await Cluster.create(await make(), 1, { etcd: false });
    const [node] = cluster.nodes as [Node];
    const files = makeCertificates(cluster.directory, address);
    await cluster.startEtcd({ ...files, clientAuth: false }, ['--insecure-skip-tls-verify']);
    const others = mkdtempSync(path.join(cluster.directory, 'others-'));
    node.start([`-etcd-cafile=${known ? files.ca : makeCertificates(others).ca}`]);
    await until(() => node.logged('Waiting for the network config') > 0);
    expect(node.log.find(({ msg }) => msg.includes('Waiting'))?.msg).toMatch(reason);
  });

  test('the interface and the published address are chosen by flags, systemd is notified when it is ready', async () => {
    cluster = await Cluster.create(await make(), 1);
    cluster.etcd.put(`${PREFIX}/config`, CONFIG);
    const [node] = cluster.nodes as [Node];
    node.ip('link', 'add', 'other0', 'type', 'bridge');
    node.ip('address', 'add', '172.30.0.1/24', 'dev', 'other0');
    node.ip('link', 'set', 'other0', 'mtu', '1400', 'up');
    const systemd = new NotifySocket(path.join(cluster.directory, 'notify'));
    try {
      node.start(['-iface-regex=^172[.]30', '-public-ip=203.0.113.7'], { NOTIFY_SOCKET: systemd.path });
      await node.untilReady();
      await until(() => systemd.received().includes('READY=1'));
      const [key] = cluster.etcd.keys(`${PREFIX}/subnets/`);
      expect(cluster.etcd.get(key!)).toBe('{"PublicIP":"203.0.113.7","PublicIPv6":null}');
      expect(readFileSync(node.subnetFile, 'utf8')).toContain('FLANNEL_MTU=1372\n');
      expect(node.run('ss', '-Hlun')).toContain('172.30.0.1:8285');
      await node.stop();
      expect(systemd.received()).toContain('STOPPING=1');
    } finally {
      systemd.close();
    }
  });

  test('exit codes: 2 for wrong usage, 0 for --help and --version', async () => {
    cluster = await Cluster.create(await make(), 1, { etcd: false });
    const [node] = cluster.nodes as [Node];
    expect(node.command('-no-such-flag')).toEqual({
      code: 2,
      stderr: 'flanneld: Unknown flag -no-such-flag: run flanneld --help for the list\n',
    });
    expect(node.command('--version').code).toBe(0);
    expect(node.command('--help').code).toBe(0);
  });

  test('without the right to configure the network it ends with a sentence, and does not wait for etcd first', async () => {
    cluster = await Cluster.create(await make(), 1, { etcd: false });
    const [node] = cluster.nodes as [Node];
    node.without = ['net_admin'];
    node.start();
    expect(await node.untilEnded()).toMatchObject({ code: 1 });
    expect(node.text).toContain('run it as root, or with CAP_NET_ADMIN');
  });
});
