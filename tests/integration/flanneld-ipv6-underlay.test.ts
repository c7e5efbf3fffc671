import { readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { Cluster, type ClusterOptions, type Node, PREFIX, until } from './support/cluster.ts';
import { compileFlanneld } from './support/flanneld-bundle.ts';
import { addPod, ipv6Subnet, ping6, podAddress6, untilPing6 } from './support/ipv6.ts';
import { MEBIBYTE, streamEachWay } from './support/stream.ts';

jest.setTimeout(120_000);

const INSIDE = '"EnableIPv6":true,"IPv6Network":"fd00:5::/48"';
const ALONE = (backend = '') => `{"EnableIPv4":false,${INSIDE},"Backend":{"Type":"udp"${backend}}}`;
const DUAL = (backend = '') => `{"Network":"10.5.0.0/16",${INSIDE},"Backend":{"Type":"udp"${backend}}}`;
const MODE6 = ',"Mode":"ipv6"';
const OUTER = '"BackendV6Data":{"Inner":"IPv6","Outer":"IPv6"}';

let program: string;
beforeAll(() => {
  program = compileFlanneld();
});
afterAll(() => rmSync(path.dirname(program), { recursive: true, force: true }));

let cluster: Cluster;
let [a, b] = [] as unknown as [Node, Node];

async function start(config: string, flags: string[], options: ClusterOptions): Promise<void> {
  cluster = await Cluster.create(program, 2, options);
  cluster.etcd.put(`${PREFIX}/config`, config);
  [a, b] = cluster.nodes as [Node, Node];
  for (const node of cluster.nodes) node.start(flags);
  for (const node of cluster.nodes) {
    await node.untilReady();
    addPod(node);
  }
}

const base6 = (node: Node): string => ipv6Subnet(node).replace('::1/64', '::');
const leaseAt = (name: string): string | undefined => cluster.etcd.get(`${PREFIX}/subnets/${name}`);
const aloneName = (node: Node): string => `0.0.0.0-0&${base6(node)}-64`;
const dualName = (node: Node): string => `${node.subnet.replace('.1/24', '.0-24')}&${base6(node)}-64`;

async function expectStreams(address: (node: Node) => string): Promise<void> {
  for (const { sent, arrived } of await streamEachWay(a.place(address(a)), b.place(address(b)), 10 * MEBIBYTE)) {
    expect(arrived).toEqual(sent);
  }
}

describe.each(['reference', 'fast'])('IPv6 alone between nodes that have no IPv4, with the %s engine', (engine) => {
  const flags = [`-engine=${engine}`, '-ip-masq'];
  beforeAll(() => start(ALONE(), flags, { underlay: 'ipv6' }));
  afterAll(() => cluster.destroy());

  test('subnet.env, the lease, the device, the routes and the rules know of IPv6 alone', () => {
    const subnet6 = ipv6Subnet(a);
    expect(subnet6).toMatch(/^fd00:5:0:[0-9a-f]+::1\/64$/);
    expect(readFileSync(a.subnetFile, 'utf8')).toBe(
      `FLANNEL_IPV6_NETWORK=fd00:5::/48\nFLANNEL_IPV6_SUBNET=${subnet6}\nFLANNEL_MTU=1452\nFLANNEL_IPMASQ=true\n`,
    );
    expect(leaseAt(aloneName(a))).toBe(`{"PublicIP":"0.0.0.0","PublicIPv6":"${a.address6}",${OUTER}}`);
    expect(a.ip('-o', 'address', 'show', 'flannel0')).toMatch(new RegExp(`^[^\n]*inet6 ${base6(a)}/128 [^\n]*\n$`));
    expect(a.ip('-4', 'route', 'show')).toBe('');
    expect(a.ip('-6', 'route', 'show', 'fd00:5::/48')).toMatch(/^fd00:5::\/48 dev flannel0 proto 241 metric 1024/);
    expect(a.run('nft', 'list', 'tables')).toBe('table ip6 flannel-ipv6-fd00.5..-48\n');
    expect(a.run('cat', '/proc/sys/net/ipv6/conf/all/forwarding')).toBe('1\n');
    expect(a.logged('ip_forward')).toBe(0);
    expect(a.run('ss', '-Hnlu', 'sport', '=', ':8285')).toContain(`[${a.address6}]:8285`);
  });

  test('pods reach each other, by packets as large as they may be', async () => {
    await untilPing6(a, b);
    expect(ping6(a, podAddress6(b))).toContain('ttl=62');
    expect(ping6(a, podAddress6(b), '-s', '1404', '-M', 'do')).toContain('1 received');
    expect(a.probe('metrics')).toMatch(
      new RegExp(`^flannel_engine_peer_received_packets_total{peer="${b.address6}"} [1-9]`, 'm'),
    );
    expect(a.probe('metrics')).toContain(`flannel_lease_info{subnet="${base6(a)}/64",public_ip="${a.address6}"} 1`);
  });

  test('TCP carries megabytes each way unchanged', async () => {
    await expectStreams(podAddress6);
    if (engine === 'fast') expect(a.probe('metrics')).toMatch(/^flannel_engine_super_packets_total [1-9]/m);
  });

  test('errors reach the pods', () => {
    expect(ping6(a, 'fd00:5:0:fff0::1')).toMatch(/From fd00:5:0:[0-9a-f]+:: .*(No route|Destination unreachable)/);
    expect(ping6(a, podAddress6(b), '-t', '2')).toMatch(/From fd00:5:0:[0-9a-f]+:: .*(Time exceeded|Hop limit)/);
  });

  test('a lease as flannel writes it, or of the other mode, is sent nothing', async () => {
    const known = Number(/flannel_leases (\d+)/.exec(a.probe('metrics'))![1]);
    const address = '2001:db8:64::99';
    const value = (rest = '') => `{"PublicIP":"0.0.0.0","PublicIPv6":"${address}"${rest}}`;
    cluster.etcd.put(`${PREFIX}/subnets/0.0.0.0-0&fd00:5:0:fa::-64`, value());
    cluster.etcd.put(`${PREFIX}/subnets/0.0.0.0-0&fd00:5:0:fb::-64`, value(',"BackendV6Data":{"Inner":"IPv6"}'));
    await until(() => a.probe('metrics').includes(`flannel_leases ${known + 2}`));
    for (const target of ['fd00:5:0:fa::1', 'fd00:5:0:fb::1']) {
      expect(ping6(a, target)).toMatch(/No route|Destination unreachable/);
    }
    expect(a.probe('metrics')).not.toContain(address);
    cluster.etcd.put(`${PREFIX}/subnets/0.0.0.0-0&fd00:5:0:fb::-64`, value(`,${OUTER}`));
    await until(() => a.probe('metrics').includes(`peer="${address}"`));
  });

  test('a node says that its address is gone, and goes on when it is back', async () => {
    a.ip('address', 'del', `${a.address6}/64`, 'dev', 'eth0');
    await until(() => a.probe('readyz').includes(`the address ${a.address6} is gone from this node`));
    a.ip('address', 'add', `${a.address6}/64`, 'dev', 'eth0', 'nodad');
    await until(() => a.probe('readyz').startsWith('200'));
    await untilPing6(a, b);
  });

  test('a restart leases the same subnet again, also without subnet.env', async () => {
    const before = ipv6Subnet(a);
    await a.stop();
    rmSync(a.subnetFile);
    await a.startReady(flags);
    expect(ipv6Subnet(a)).toBe(before);
    await untilPing6(a, b);
  });

  test('release gives back the own lease alone', async () => {
    const [own, other] = [aloneName(a), aloneName(b)];
    await a.stop();
    expect(a.command('release', ...a.flags())).toMatchObject({ code: 0 });
    expect([leaseAt(own), leaseAt(other) === undefined]).toEqual([undefined, false]);
  });
});

describe.each([
  ['reference', 1],
  ['fast', 1],
  ['fast', 2],
])('both families between nodes that have no IPv4, with the %s engine and queues: %d', (engine, queues) => {
  const flags = [`-engine=${engine}`, `-engine-queues=${queues}`, '-healthz-ip=::'];
  beforeAll(() => start(DUAL(MODE6), flags, { underlay: 'ipv6' }));
  afterAll(() => cluster.destroy());

  test('the lease has both subnets, and no IPv4 address', () => {
    expect(leaseAt(dualName(a))).toBe(`{"PublicIP":"0.0.0.0","PublicIPv6":"${a.address6}",${OUTER}}`);
    expect(readFileSync(a.subnetFile, 'utf8')).toContain('FLANNEL_MTU=1452\n');
  });

  test('another machine may ask for the health', () => {
    expect(b.run('curl', '-sgm', '2', `http://[${a.address6}]:8081/readyz`)).toBe('flanneld is ready\n');
  });

  test('pods reach each other by both, by packets as large as they may be', async () => {
    await untilPing6(a, b);
    await until(() => a.canPing(b) && b.canPing(a));
    expect(ping6(a, podAddress6(b), '-s', '1404', '-M', 'do')).toContain('1 received');
    expect(a.run('ping', '-c', '1', '-W', '2', '-s', '1424', '-M', 'do', '-I', a.podAddress, b.podAddress)).toContain(
      '1 received',
    );
  });

  test('TCP of each family carries megabytes each way unchanged', async () => {
    await expectStreams((node) => node.podAddress);
    await expectStreams(podAddress6);
    if (engine === 'fast') expect(a.probe('metrics')).toMatch(/^flannel_engine_super_packets_total [1-9]/m);
  });
});

describe('IPv6 alone between nodes of IPv4', () => {
  beforeAll(() => start(ALONE(',"Mode":"ipv4"'), [], { underlay: 'ipv4' }));
  afterAll(() => cluster.destroy());

  test('the lease has the IPv4 address, and pods reach each other', async () => {
    expect(leaseAt(aloneName(a))).toBe(
      `{"PublicIP":"${a.address}","PublicIPv6":null,"BackendV6Data":{"Inner":"IPv6"}}`,
    );
    expect(readFileSync(a.subnetFile, 'utf8')).toContain('FLANNEL_MTU=1472\n');
    await untilPing6(a, b);
    expect(ping6(a, podAddress6(b), '-s', '1424', '-M', 'do')).toContain('1 received');
    await expectStreams(podAddress6);
  });
});

describe('a network that changes while it is used', () => {
  beforeAll(() => start(DUAL(), [], { underlay: 'both' }));
  afterAll(() => cluster.destroy());

  test('Mode is followed by running nodes, and a node of the other mode gets no packets', async () => {
    await untilPing6(a, b);
    const before = [dualName(a), dualName(b)];
    cluster.etcd.put(`${PREFIX}/config`, DUAL(MODE6));
    await until(() => leaseAt(dualName(a)) === `{"PublicIP":"${a.address}","PublicIPv6":"${a.address6}",${OUTER}}`);
    await untilPing6(a, b);
    expect(a.canPing(b) && b.canPing(a)).toBe(true);
    expect([dualName(a), dualName(b)]).toEqual(before);

    cluster.etcd.put(`${PREFIX}/subnets/10.5.250.0-24`, '{"PublicIP":"10.64.0.99","PublicIPv6":"2001:db8:64::99"}');
    await until(() => a.logged('Refused the lease of 10.5.250.0/24: it is not reached by IPv6 as this node is') === 1);
    cluster.etcd.etcdctl('del', `${PREFIX}/subnets/10.5.250.0-24`);
  });

  test('a network that loses IPv4 leaves nodes their subnets of IPv6, and no old lease', async () => {
    const before = [ipv6Subnet(a), ipv6Subnet(b)];
    cluster.etcd.put(`${PREFIX}/config`, ALONE());
    await until(() => [a, b].every((node) => node.logged('The network config has changed (IPv4 off') === 1));
    for (const node of cluster.nodes) await node.untilReady();
    await untilPing6(a, b);
    await until(() => a.ip('-4', 'address', 'show', 'flannel0') === '');
    expect([ipv6Subnet(a), ipv6Subnet(b)]).toEqual(before);
    expect(cluster.etcd.keys(`${PREFIX}/subnets/`).sort()).toEqual(
      [aloneName(a), aloneName(b)].map((name) => `${PREFIX}/subnets/${name}`).sort(),
    );
    expect(a.ip('-4', 'address', 'show', 'flannel0')).toBe('');
  });
});

test('a node waits for its address while the kernel still looks whether another has it', async () => {
  cluster = await Cluster.create(program, 1, { underlay: 'ipv6' });
  try {
    cluster.etcd.put(`${PREFIX}/config`, ALONE());
    const node = cluster.nodes[0]!;
    node.run('sysctl', '-qw', 'net.ipv6.conf.eth0.dad_transmits=4');
    node.ip('address', 'add', '2001:db8:64::d/64', 'dev', 'eth0');
    node.start(['-iface=2001:db8:64::d']);
    await node.untilReady();
    expect(node.run('ss', '-Hnlu', 'sport', '=', ':8285')).toContain('[2001:db8:64::d]:8285');
  } finally {
    await cluster.destroy();
  }
});

test('a node without an IPv6 address says what it lacks', async () => {
  cluster = await Cluster.create(program, 1, { underlay: 'ipv4' });
  try {
    cluster.etcd.put(`${PREFIX}/config`, ALONE());
    const node = cluster.nodes[0]!;
    node.start(['-iface=eth0']);
    expect(await node.untilEnded()).toMatchObject({ code: 1 });
    expect(node.text).toContain('-iface=eth0: interface eth0 has no usable IPv6 address');
  } finally {
    await cluster.destroy();
  }
});
