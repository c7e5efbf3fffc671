/** flanneld beside other users of the firewall, with pods whose packets are forwarded. */
import { rmSync } from 'node:fs';
import path from 'node:path';
import { Cluster, type Node, PREFIX, until } from './support/cluster.ts';
import { bundleFlanneld } from './support/flanneld-bundle.ts';
import { addPod, type Pod } from './support/pods.ts';

jest.setTimeout(120_000);

const CONFIG = '{"Network":"10.5.0.0/16","Backend":{"Type":"udp"}}';
const FLAGS = ['-iptables-resync=1'];

let program: string;
let cluster: Cluster;
let a: Node;
let pods: Pod[];

beforeAll(async () => {
  program = await bundleFlanneld();
});
afterAll(() => rmSync(path.dirname(program), { recursive: true, force: true }));

beforeEach(async () => {
  cluster = await Cluster.create(program, 2);
  [a] = cluster.nodes as [Node];
  pods = [];
});
afterEach(async () => {
  for (const pod of pods) pod.destroy();
  await cluster.destroy();
});

const start = async (config = CONFIG) => {
  cluster.etcd.put(`${PREFIX}/config`, config);
  for (const node of cluster.nodes) node.start(FLAGS);
  for (const node of cluster.nodes) await node.untilReady();
  pods = cluster.nodes.map(addPod);
};
const podsTalk = () => pods[0]!.canPing(pods[1]!.address) && pods[1]!.canPing(pods[0]!.address);
const forwardChain = (node: Node) => node.run('iptables', '-S', 'FORWARD');
const ACCEPTS = ['-s', '-d'].map(
  (side) => `-A FORWARD ${side} 10.5.0.0/16 -m comment --comment "flanneld forward" -j ACCEPT\n`,
);

test('pods talk although Docker drops what is forwarded, also after a flush, and cleanup restores the chain', async () => {
  for (const node of cluster.nodes) {
    node.run('iptables', '-P', 'FORWARD', 'DROP');
    node.run('iptables', '-N', 'DOCKER-USER');
    node.run('iptables', '-A', 'FORWARD', '-j', 'DOCKER-USER');
  }
  const before = forwardChain(a);
  await start();
  await until(podsTalk);
  expect(forwardChain(a)).toBe(before + ACCEPTS.join(''));

  for (const node of cluster.nodes) {
    node.run('iptables', '-F', 'FORWARD');
    node.run('iptables', '-A', 'FORWARD', '-j', 'DOCKER-USER');
  }
  await until(podsTalk);
  // A reject in front of our rules: they go in front of it.
  a.run('iptables', '-I', 'FORWARD', '2', '-j', 'REJECT');
  await until(
    () =>
      forwardChain(a) ===
      `-P FORWARD DROP\n-A FORWARD -j DOCKER-USER\n${ACCEPTS.join('')}-A FORWARD -j REJECT --reject-with icmp-port-unreachable\n`,
  );
  expect(podsTalk()).toBe(true);
  a.run('iptables', '-D', 'FORWARD', '-j', 'REJECT');
  // The rules come back as a restore writes them, and are known again.
  a.run('sh', '-c', 'iptables-save > /tmp/$$.rules && iptables-restore < /tmp/$$.rules; rm /tmp/$$.rules');

  await a.stop();
  expect(a.command('cleanup', ...a.flags())).toMatchObject({ code: 0 });
  expect(forwardChain(a)).toBe(before);
});

test('the rules are set again after everything was flushed, and a policy that comes later is met', async () => {
  await start();
  await until(podsTalk);
  expect(a.run('nft', 'list', 'tables')).toBe('table ip flannel-ipv4-10.5.0.0-16\n');
  for (const node of cluster.nodes) node.run('nft', 'flush', 'ruleset');
  await until(() => a.run('nft', 'list', 'ruleset').includes('flanneld forward'));
  for (const node of cluster.nodes) node.run('iptables', '-P', 'FORWARD', 'DROP');
  await until(podsTalk);
  expect(a.probe('readyz')).toBe('200 flanneld is ready');
});

test('the older iptables is met as well', async () => {
  for (const node of cluster.nodes) node.run('iptables-legacy', '-P', 'FORWARD', 'DROP');
  await start();
  await until(podsTalk);
  await a.stop();
  expect(a.command('cleanup', ...a.flags())).toMatchObject({ code: 0 });
  expect(a.run('iptables-legacy', '-S', 'FORWARD')).toBe('-P FORWARD DROP\n');
});

test('a table of others that rejects is named in /readyz with what to do, until it does not any more', async () => {
  await start();
  // As firewalld ends its chain.
  const rules =
    'add table inet firewalld; add chain inet firewalld filter_FORWARD { type filter hook forward priority 10; }';
  a.run('nft', rules);
  a.run('nft', 'add rule inet firewalld filter_FORWARD ct state established,related accept');
  a.run('nft', 'add rule inet firewalld filter_FORWARD reject with icmpx type admin-prohibited');
  const remedy = 'firewall-cmd --permanent --zone=trusted --add-source=10.5.0.0/16';
  await until(() => a.probe('readyz').startsWith('503') && a.probe('readyz').includes(remedy));
  expect(podsTalk()).toBe(false);
  expect(a.probe('healthz')).toBe('200 flanneld is running');
  a.run('nft', 'insert rule inet firewalld filter_FORWARD ip saddr 10.5.0.0/16 accept');
  await a.untilReady();
  await until(podsTalk);
});

test('a table of others that drops what other nodes send is named with what to do', async () => {
  await start();
  const nft = (rule: string) => a.run('nft', `${rule}`);
  nft('add table inet firewalld; add chain inet firewalld filter_INPUT { type filter hook input priority 10; }');
  nft('add rule inet firewalld filter_INPUT iifname lo accept');
  nft('add rule inet firewalld filter_INPUT tcp sport 2379 accept');
  nft('add rule inet firewalld filter_INPUT reject with icmpx type admin-prohibited');
  const remedy = 'firewall-cmd --permanent --add-port=8285/udp';
  await until(() => a.probe('readyz').startsWith('503') && a.probe('readyz').includes(remedy));
  nft('insert rule inet firewalld filter_INPUT udp dport { 53, 8280-8290 } accept');
  await a.untilReady();
  await until(podsTalk);
});

test('where only answers are let in, packets of udp pass, and a note says how to open the port', async () => {
  // As of ufw, whose rules of conntrack nft does not show.
  for (const rule of [
    ['-i', 'lo', '-j', 'ACCEPT'],
    ['-m', 'conntrack', '--ctstate', 'RELATED,ESTABLISHED', '-j', 'ACCEPT'],
    ['-m', 'addrtype', '!', '--dst-type', 'LOCAL', '-j', 'DROP'],
    ['-j', 'ufw-user-input'],
  ]) {
    if (rule.includes('ufw-user-input')) a.run('iptables', '-N', 'ufw-user-input');
    a.run('iptables', '-A', 'INPUT', ...rule);
  }
  a.run('iptables', '-P', 'INPUT', 'DROP');
  await start();
  await until(podsTalk);
  const note = 'input rules: nftables table ip filter, chain INPUT drops packets of other nodes that answer none';
  await until(() => a.probe('readyz?verbose').includes(note));
  expect(a.probe('readyz?verbose')).toContain('with "ufw allow 8285/udp"');
  a.run('iptables', '-A', 'ufw-user-input', '-p', 'udp', '--dport', '8285', '-j', 'ACCEPT');
  await until(() => !a.probe('readyz?verbose').includes('input rules: nftables'));
});

test('with EnableNFTables nothing is written into tables of iptables, and who drops is said', async () => {
  await start(CONFIG.replace('{', '{"EnableNFTables":true,'));
  a.run('iptables', '-P', 'FORWARD', 'DROP');
  await until(() =>
    a.probe('readyz').includes('nftables table ip filter, chain FORWARD drops forwarded packets of pods'),
  );
  expect(forwardChain(a)).toBe('-P FORWARD DROP\n');
});

test("rules of flannel's are removed at the start, in every kind of table, and those of another network stay", async () => {
  const nat = ['-t', 'nat'];
  for (const iptables of ['iptables', 'iptables-legacy']) {
    a.run(iptables, ...nat, '-N', 'FLANNEL-POSTRTG');
    a.run(
      iptables,
      ...nat,
      '-A',
      'POSTROUTING',
      '-m',
      'comment',
      '--comment',
      'flanneld masq',
      '-j',
      'FLANNEL-POSTRTG',
    );
    a.run(iptables, ...nat, '-A', 'FLANNEL-POSTRTG', '-s', '10.5.0.0/16', '!', '-d', '224.0.0.0/4', '-j', 'MASQUERADE');
    a.run(iptables, ...nat, '-A', 'POSTROUTING', '-s', '172.17.0.0/16', '-j', 'MASQUERADE');
    a.run(iptables, '-N', 'FLANNEL-FWD');
    a.run(iptables, '-A', 'FORWARD', '-m', 'comment', '--comment', 'flanneld forward', '-j', 'FLANNEL-FWD');
    a.run(iptables, '-A', 'FLANNEL-FWD', '-s', '10.5.0.0/16', '-j', 'ACCEPT');
  }
  a.run(
    'nft',
    'add table ip flannel-ipv4; add chain ip flannel-ipv4 forward; add rule ip flannel-ipv4 forward ip saddr 10.5.0.0/16 accept',
  );
  a.run('nft', 'add table ip flannel-ipv4-10.9.0.0-16');
  await start();
  for (const iptables of ['iptables', 'iptables-legacy']) {
    expect(a.run(iptables, ...nat, '-S')).not.toContain('FLANNEL');
    expect(a.run(iptables, ...nat, '-S', 'POSTROUTING')).toContain('172.17.0.0/16');
    expect(a.run(iptables, '-S')).not.toContain('FLANNEL');
  }
  const tables = a.run('nft', 'list', 'tables');
  expect(tables).not.toContain('flannel-ipv4\n');
  expect(tables).toContain('flannel-ipv4-10.9.0.0-16');
});

test('-ip-masq-fully-random-disable leaves the choice of source ports to the kernel, also where an earlier start did not', async () => {
  cluster.etcd.put(`${PREFIX}/config`, CONFIG);
  const masquerade = () => a.run('nft', 'list', 'ruleset').match(/masquerade.*/g) ?? [];
  await a.startReady(['-ip-masq']);
  expect(masquerade().length).toBeGreaterThan(0);
  for (const rule of masquerade()) expect(rule).toContain('fully-random');
  await a.stop();
  await a.startReady(['-ip-masq', '-ip-masq-fully-random-disable']);
  expect(masquerade().length).toBeGreaterThan(0);
  for (const rule of masquerade()) expect(rule).not.toContain('fully-random');
});
