/** Readiness by probes where the overlay has IPv6: alone, and beside IPv4. */
import { rmSync } from 'node:fs';
import path from 'node:path';
import { Cluster, type Node, PREFIX, type UnderlayFamilies, until } from './support/cluster.ts';
import { bundleFlanneld } from './support/flanneld-bundle.ts';
import { addPod, ipv6Subnet } from './support/ipv6.ts';

jest.setTimeout(120_000);

const INSIDE = '"EnableIPv6":true,"IPv6Network":"fd00:5::/48"';
const IPV6_ONLY = `{"EnableIPv4":false,${INSIDE},"Backend":{"Type":"udp"}}`;
const DUAL = `{"Network":"10.5.0.0/16",${INSIDE},"Backend":{"Type":"udp"}}`;

let program: string;
let cluster: Cluster;
let [a, b] = [] as unknown as [Node, Node];

beforeAll(async () => {
  program = await bundleFlanneld();
});
afterAll(() => rmSync(path.dirname(program), { recursive: true, force: true }));
afterEach(() => cluster.destroy());

async function start(config: string, underlay: UnderlayFamilies, flags: string[] = []): Promise<void> {
  cluster = await Cluster.create(program, 2, { underlay });
  cluster.etcd.put(`${PREFIX}/config`, config);
  [a, b] = cluster.nodes as [Node, Node];
  for (const node of cluster.nodes) node.start(flags);
  for (const node of cluster.nodes) await node.untilReady();
}

const subnet6 = (node: Node) => ipv6Subnet(node).replace('::1/64', '::/64');
const drop = (node: Node, hook: string, rule: string) =>
  node.run('nft', `table inet fltest { chain c { type filter hook ${hook} priority 0; ${rule} drop; }; }`);
const undrop = (node: Node) => node.run('nft', 'delete', 'table', 'inet', 'fltest');

test('IPv6 alone: the peer is probed by ICMPv6, also with large packets, and its silence makes the node not ready', async () => {
  await start(IPV6_ONLY, 'ipv6');
  await until(() => a.status.peers[0]?.largePackets === 'passes');
  expect(a.status.peers).toMatchObject([{ subnet: subnet6(b), address: b.address6 }]);
  expect(a.status.peers[0]!.roundTripMs).toBeGreaterThan(0);
  drop(a, 'input', 'udp dport 8285');
  const sentence =
    /reach: the only other node, fd00:5:0:[0-9a-f]+::\/64 at 2001:db8:64::11, has not answered through the overlay for \d+ s: UDP port 8285 has to be open .* the route to 2001:db8:64::11/;
  await until(() => sentence.test(a.probe('readyz')));
  undrop(a);
  await a.untilReady();
});

test('both families: the subnets of a peer are probed each by its own, and one that is silent is named', async () => {
  await start(DUAL, 'ipv4');
  await until(() => a.status.peers.filter(({ largePackets }) => largePackets === 'passes').length === 2);
  const subnet = b.subnet.replace('.1/', '.0/');
  expect(a.status.peers.map((peer) => [peer.subnet, peer.address])).toEqual([
    [subnet, b.address],
    [subnet6(b), b.address],
  ]);
  drop(b, 'input', 'icmpv6 type echo-request');
  const detail = `1 of 1 other node does not answer through the overlay: ${subnet6(b)} at ${b.address} for`;
  await until(() => a.status.details.some((line) => line.includes(detail)));
  expect(a.probe('readyz')).toBe('200 flanneld is ready');
  undrop(b);
  await until(() => !a.status.details.some((line) => line.includes('does not answer')));
});

test('the health endpoint has an address of each family, and a rule against the pods of one is found', async () => {
  await start(DUAL, 'ipv4', ['-health-endpoint', '-host-local-dir=/nonexistent/fltest']);
  for (const node of cluster.nodes) addPod(node);
  const endpoints = (node: Node) =>
    `${node.subnet.replace('.1/24', '.254')} and ${subnet6(node).replace('::/64', ':ffff:ffff:ffff:ffff')}`;
  for (const node of cluster.nodes) await until(() => node.logged(`Made the health endpoint ${endpoints(node)}`) === 1);

  drop(a, 'forward', 'iifname "cni0" meta nfproto ipv6');
  const what = `not its health endpoint ${endpoints(a)}`;
  await until(() => a.status.details.some((line) => line.includes(what) && line.includes(`${subnet6(b)} at`)));
  expect(a.probe('readyz')).toBe('200 flanneld is ready');
  undrop(a);
  drop(a, 'forward', 'iifname "cni0"');
  await until(() => a.probe('readyz').includes(`1 other node answers this host and ${what}`));
  undrop(a);
  await a.untilReady();
  await until(() => !a.status.details.some((line) => line.includes(what)));

  a.ip('link', 'set', 'eth0', 'mtu', '1400');
  await until(() => /flh[0-9a-f]{8}.* mtu 1372 /.test(a.ip('-o', 'link', 'show')));
});
