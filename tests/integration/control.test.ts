/** Many nodes and many leases, as tests of correctness: bench/control measures the same. */
import { rmSync } from 'node:fs';
import path from 'node:path';
import { PREFIX } from '../../bench/control/etcd.ts';
import { ControlLab, untilTrue } from '../../bench/control/lab.ts';
import { type Backend, largeNetwork, leaseOf, phantom } from '../../bench/control/phantom.ts';
import { runIn } from '../../bench/dataplane/processes.ts';
import { compileFlanneld } from './support/flanneld-bundle.ts';

jest.setTimeout(300_000);

let program: string;
let lab: ControlLab;
beforeAll(() => {
  program = compileFlanneld();
});
afterAll(() => rmSync(path.dirname(program), { recursive: true, force: true }));
afterEach(() => lab?.destroy());

/** The kernel keeps a mark in its own byte order. */
function addressOfMark(mark: number): string {
  return new Uint8Array(new Uint32Array([mark]).buffer).join('.');
}

/** A node in a network where so many leases exist. */
async function startAmong(length: number, backend: Backend) {
  lab = await ControlLab.create(largeNetwork(backend));
  const peers = Array.from({ length }, (_, i) => phantom(i));
  await lab.etcd.put(peers.map((peer) => leaseOf(backend, peer)));
  const node = lab.addNode(program);
  node.start();
  await untilTrue(
    () => node.subnet !== undefined || !node.isRunning,
    () => node.log,
  );
  return { peers, node };
}

test('25 nodes that start at once where only 31 subnets exist get one each, and none fails', async () => {
  const range = { SubnetLen: 24, SubnetMin: '10.5.1.0', SubnetMax: '10.5.31.0' };
  lab = await ControlLab.create({ Network: '10.5.0.0/16', ...range, Backend: { Type: 'udp' } });
  for (let i = 0; i < 25; i++) lab.addNode(program);
  for (const node of lab.nodes) node.start();
  await untilTrue(
    () => lab.nodes.every((node) => !node.isRunning || node.subnet !== undefined),
    () => `a subnet for each: ${lab.nodes.map(({ subnet }) => subnet).join(' ')}`,
    240_000,
  );
  expect(lab.nodes.filter((node) => !node.isRunning).map(({ log }) => log)).toEqual([]);
  expect(new Set(lab.nodes.map(({ subnet }) => subnet)).size).toBe(25);
  // Each subnet is that of the node in etcd, too.
  const leases = await lab.etcd.list(`${PREFIX}/subnets/`);
  const owners = new Map(leases.map(({ key, value }) => [key, JSON.parse(value).PublicIP as string]));
  for (const { subnet, address } of lab.nodes) {
    expect(owners.get(`${PREFIX}/subnets/${subnet!.replace('.1/24', '.0-24')}`)).toBe(address);
  }
  expect(leases).toHaveLength(25);
});

test('a node that starts where 1,000 leases exist sends to each peer by its own address', async () => {
  const { peers, node } = await startAmong(1000, 'udp');
  await untilTrue(
    () => node.get('metrics').includes('flannel_leases 1001\n'),
    () => node.log,
  );
  // What leaves for whom: the inner destination, for which a mark is the only type that nft has, and the outer one. Of UDP (17)
  // inside alone: flanneld probes its peers by ICMP.
  const rules = `table ip control {
    set sent { type mark . ipv4_addr; size 65535; flags dynamic; }
    chain out { type filter hook output priority 0; udp dport 8285 @th,136,8 17 meta mark set @th,192,32 add @sent { meta mark . ip daddr }; }
  }`;
  runIn(node, ['nft', rules]);
  const sent = (): Set<string> => {
    const { nftables } = JSON.parse(runIn(node, ['nft', '-j', 'list', 'set', 'ip', 'control', 'sent']));
    const { elem = [] } = nftables.find((entry: object) => 'set' in entry).set;
    return new Set(elem.map(({ concat: [mark, to] }: { concat: [number, string] }) => `${addressOfMark(mark)} ${to}`));
  };
  const wanted = new Set(peers.map(({ inside, publicAddress }) => `${inside} ${publicAddress}`));
  const send = 'for address; do echo >/dev/udp/$address/9; done';
  let found = sent();
  await untilTrue(
    () => {
      runIn(node, ['bash', '-c', send, 'bash', ...peers.map(({ inside }) => inside)]);
      found = sent();
      return [...wanted].every((pair) => found.has(pair));
    },
    () => `${[...wanted].filter((pair) => !found.has(pair))} of ${[...found].slice(0, 20)}`,
  );
  expect(found).toEqual(wanted);
});

test.each<Backend>(['udp', 'vxlan'])(
  '%s: renewals cause no pass of the reconciler, and a change causes one at once',
  async (backend) => {
    const { peers, node } = await startAmong(100, backend);
    const passes = () => Number(/^flannel_reconcile_passes_total (\d+)$/m.exec(node.get('metrics'))![1]);
    const before = passes();
    // A put of its own for each, as renewals are.
    for (const peer of peers) await lab.etcd.put([leaseOf(backend, peer)]);
    const added = phantom(peers.length);
    await lab.etcd.put([leaseOf(backend, added)]);
    const leases = `flannel_leases ${peers.length + 2}\n`;
    await untilTrue(
      () => node.get('metrics').includes(leases),
      () => node.get('metrics'),
    );
    await untilTrue(
      () => passes() > before,
      () => 'a pass',
    );
    // A few for the events of the start, and by the timer; not one for each renewal.
    expect(passes() - before).toBeLessThan(10);
  },
);
