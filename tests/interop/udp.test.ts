/**
 * Nodes of flannel's own udp backend and of ours in one cluster. FLANNEL_UPSTREAM names a build of
 * github.com/flannel-io/flannel, outside of this checkout, which the nodes' processes do not see.
 */
import { existsSync, rmSync } from 'node:fs';
import path from 'node:path';
import { Cluster, type Node, PREFIX, until } from '../integration/support/cluster.ts';
import { compileFlanneld } from '../integration/support/flanneld-bundle.ts';
import { ipv6Subnet, ping6, podAddress6 } from '../integration/support/ipv6.ts';
import { MEBIBYTE, streamEachWay } from '../integration/support/stream.ts';

jest.setTimeout(60_000);

const THEIRS = process.env.FLANNEL_UPSTREAM;
if (!THEIRS) throw new Error('Set FLANNEL_UPSTREAM to a build of github.com/flannel-io/flannel');
const CONFIG = '{"Network":"10.5.0.0/16","Backend":{"Type":"udp"}}';
const CONFIG_WITH_IPV6 = `{"EnableIPv6":true,"IPv6Network":"fd00:5::/48",${CONFIG.slice(1)}`;
/** ICMP payloads in bytes: around the device's MTU of 1472 (28 for IP and ICMP), fragments, and the most there is. */
const SIZES = [0, 1, 1443, 1444, 1445, 1472, 4000, 16_000, 65_507];

let cluster: Cluster;
let program: string;

beforeAll(() => {
  program = compileFlanneld();
});
afterAll(() => rmSync(path.dirname(program), { recursive: true }));
beforeEach(async () => {
  cluster = await Cluster.create(program, 1, { underlay: 'both' });
  cluster.etcd.put(`${PREFIX}/config`, CONFIG);
});
afterEach(() => cluster?.destroy());

async function startOurs(node: Node, engine = 'fast'): Promise<void> {
  node.program = program;
  await node.startReady([`-engine=${engine}`]);
}

async function startTheirs(node: Node): Promise<void> {
  node.program = path.resolve(THEIRS!);
  node.start(['-iptables-forward-rules=false']);
  await until(() => existsSync(node.subnetFile) && node.probe('healthz').startsWith('200'));
}

/** The nodes of a cluster of two: ours, and theirs. */
async function mixed(engine?: string): Promise<readonly [Node, Node]> {
  const ours = cluster.nodes[0]!;
  const theirs = cluster.addNode();
  await startOurs(ours, engine);
  await startTheirs(theirs);
  for (const node of [ours, theirs]) node.addPodAddress();
  await until(() => ours.canPing(theirs));
  return [ours, theirs];
}

function pings(from: Node, to: Node): readonly number[] {
  return SIZES.filter((size) => {
    const ping = ['ping', '-n', '-q', '-c', '2', '-i', '0.01', '-W', '1', '-s', String(size), '-I', from.podAddress];
    return from.run(...ping, to.podAddress).includes(' 0% packet loss');
  });
}

/** Of a packet that may go so many hops. */
function outcome(from: Node, to: Node, hops: number): string {
  const ping = `ping -n -c 1 -W 1 -t ${hops} -I ${from.podAddress} ${to.podAddress} || true`;
  const output = from.run('sh', '-c', ping);
  if (output.includes('Time to live exceeded')) return 'exceeded';
  return output.includes(' 0% packet loss') ? 'answered' : 'lost';
}

const place = (node: Node) => node.place(node.podAddress);

describe.each(['fast', 'reference', 'ebpf'])('the %s engine', (engine) => {
  test("exchanges packets of every size with flannel's", async () => {
    const [ours, theirs] = await mixed(engine);
    expect(pings(ours, theirs)).toEqual(SIZES);
    expect(pings(theirs, ours)).toEqual(SIZES);
  });

  test("exchanges streams with flannel's unchanged", async () => {
    const [ours, theirs] = await mixed(engine);
    for (const { sent, arrived } of await streamEachWay(place(ours), place(theirs), 32 * MEBIBYTE)) {
      expect(arrived).toEqual(sent);
      expect(arrived.bytes).toBe(32 * MEBIBYTE);
    }
  });

  test('counts two hops between the nodes, as flannel does, and sends an error where flannel is silent', async () => {
    const [ours, theirs] = await mixed(engine);
    const hops = (from: Node, to: Node): readonly string[] => [1, 2, 3].map((hop) => outcome(from, to, hop));
    expect(hops(ours, theirs)).toEqual(['exceeded', 'lost', 'answered']);
    expect(hops(theirs, ours)).toEqual(['lost', 'exceeded', 'answered']);
  });
});

test('sends no IPv6 to a node of flannel, and an error to the pod', async () => {
  cluster.etcd.put(`${PREFIX}/config`, CONFIG_WITH_IPV6);
  const [ours, theirs] = await mixed();
  ours.ip('address', 'add', ipv6Subnet(ours), 'dev', 'cni0', 'nodad');
  expect(ours.canPing(theirs) && theirs.canPing(ours)).toBe(true);
  expect(ping6(ours, podAddress6(theirs))).toMatch(/From fd00:5:0:[0-9a-f]+:: .*(No route|Destination unreachable)/);
});

test('a node that joins later is known to both, and one that leaves by release is forgotten by both', async () => {
  const [ours, theirs] = await mixed();
  const third = cluster.addNode();
  await startOurs(third);
  third.addPodAddress();
  await until(() => theirs.canPing(third) && third.canPing(theirs) && ours.canPing(third));
  await third.stop();
  const key = `${PREFIX}/subnets/${third.subnet.replace('.1/24', '.0-24')}`;
  expect(cluster.etcd.get(key)).toContain(third.address);
  expect(third.command('release', ...third.flags())).toEqual({ code: 0, stderr: '' });
  expect(cluster.etcd.get(key)).toBeUndefined();
  await until(() => theirs.logged('Subnet removed') + theirs.logged('subnet removed') > 0);
  expect(theirs.canPing(third)).toBe(false);
  expect(ours.canPing(theirs)).toBe(true);
});

test('a node keeps its subnet, its pods and its peers when flannel is replaced by ours, and when ours is replaced by flannel', async () => {
  const [peer, node] = await mixed();
  const { subnet } = node;
  for (const start of [startOurs, startTheirs, startOurs]) {
    await node.stop();
    rmSync(node.subnetFile);
    await start(node);
    expect(node.subnet).toBe(subnet);
    await until(() => peer.canPing(node) && node.canPing(peer));
  }
});
