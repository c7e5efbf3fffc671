import { readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { Cluster, type Node, PREFIX, until } from './support/cluster.ts';
import { compileFlanneld } from './support/flanneld-bundle.ts';
import { addPod, canPing6, ipv6Subnet, ping6, podAddress6, untilPing6 } from './support/ipv6.ts';
import { MEBIBYTE, streamEachWay } from './support/stream.ts';

jest.setTimeout(120_000);

const CONFIG = '{"Network":"10.5.0.0/16","EnableIPv6":true,"IPv6Network":"fd00:5::/48","Backend":{"Type":"udp"}}';

describe.each(['reference', 'fast'])('two nodes with IPv6 inside and the %s engine', (engine) => {
  let cluster: Cluster;
  let [a, b] = [] as unknown as [Node, Node];

  beforeAll(async () => {
    cluster = await Cluster.create(compileFlanneld(), 2);
    cluster.etcd.put(`${PREFIX}/config`, CONFIG);
    [a, b] = cluster.nodes as [Node, Node];
    a.ip('address', 'add', '2001:db8::a/64', 'dev', 'eth0', 'nodad');
    for (const node of cluster.nodes) node.start([`-engine=${engine}`, '-ip-masq']);
    for (const node of cluster.nodes) {
      await node.untilReady();
      addPod(node);
    }
  });
  afterAll(async () => {
    const { program } = cluster;
    await cluster.destroy();
    rmSync(path.dirname(program), { recursive: true, force: true });
  });

  test('subnet.env, the lease, the device, the routes and the rules have both families', () => {
    const subnet6 = ipv6Subnet(a);
    expect(subnet6).toMatch(/^fd00:5:0:[0-9a-f]+::1\/64$/);
    expect(readFileSync(a.subnetFile, 'utf8')).toBe(
      `FLANNEL_NETWORK=10.5.0.0/16\nFLANNEL_SUBNET=${a.subnet}\nFLANNEL_IPV6_NETWORK=fd00:5::/48\n` +
        `FLANNEL_IPV6_SUBNET=${subnet6}\nFLANNEL_MTU=1472\nFLANNEL_IPMASQ=true\n`,
    );
    const base6 = subnet6.replace('::1/64', '::');
    const key = `${a.subnet.replace('.1/24', '.0-24')}&${base6}-64`;
    expect(cluster.etcd.get(`${PREFIX}/subnets/${key}`)).toBe(
      `{"PublicIP":"${a.address}","PublicIPv6":"2001:db8::a","BackendV6Data":{"Inner":"IPv6"}}`,
    );
    expect(a.ip('-o', '-6', 'address', 'show', 'flannel0')).toMatch(new RegExp(`^[^\n]*inet6 ${base6}/128 [^\n]*\n$`));
    expect(a.ip('-6', 'route', 'show', 'fd00:5::/48')).toMatch(/^fd00:5::\/48 dev flannel0 proto 241 metric 1024/);
    expect(a.run('nft', 'list', 'table', 'ip6', 'flannel-ipv6-fd00.5..-48')).toContain('masquerade');
    expect(a.run('cat', '/proc/sys/net/ipv6/conf/all/forwarding')).toBe('1\n');
  });

  test('pods reach each other by both', async () => {
    await untilPing6(a, b);
    expect(a.canPing(b) && b.canPing(a)).toBe(true);
    expect(ping6(a, podAddress6(b))).toContain('ttl=62');
    expect(ping6(a, podAddress6(b), '-s', '1424', '-M', 'do')).toContain('1 received');
  });

  test('TCP carries megabytes each way unchanged', async () => {
    const [from, to] = [a.place(podAddress6(a)), b.place(podAddress6(b))];
    for (const { sent, arrived } of await streamEachWay(from, to, 10 * MEBIBYTE)) {
      expect(arrived).toEqual(sent);
    }
    if (engine === 'fast') expect(a.probe('metrics')).toMatch(/^flannel_engine_super_packets_total [1-9]/m);
  });

  test('errors reach the pods', () => {
    expect(ping6(a, 'fd00:5:0:fff0::1')).toMatch(/From fd00:5:0:[0-9a-f]+:: .*(No route|Destination unreachable)/);
    expect(ping6(a, podAddress6(b), '-t', '2')).toMatch(/From fd00:5:0:[0-9a-f]+:: .*(Time exceeded|Hop limit)/);
  });

  test('a removed address and route come back', async () => {
    a.ip('-6', 'address', 'flush', 'dev', 'flannel0');
    a.ip('-6', 'route', 'flush', 'proto', '241');
    await untilPing6(a, b);
  });

  test('a node of flannel’s gets no IPv6: its lease does not ask for any', async () => {
    cluster.etcd.put(
      `${PREFIX}/subnets/10.5.250.0-24&fd00:5:0:fa::-64`,
      `{"PublicIP":"10.64.0.99","PublicIPv6":"2001:db8::99"}`,
    );
    await until(() => a.probe('metrics').includes('flannel_leases 3'));
    expect(ping6(a, 'fd00:5:0:fa::1')).toMatch(/No route|Destination unreachable/);
  });

  test('a restart leases the same subnets again', async () => {
    const before = [a.subnet, ipv6Subnet(a)];
    await a.stop();
    await a.startReady([`-engine=${engine}`, '-ip-masq']);
    expect([a.subnet, ipv6Subnet(a)]).toEqual(before);
    await until(() => canPing6(a, b));
  });
});
