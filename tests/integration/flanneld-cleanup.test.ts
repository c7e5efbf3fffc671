/** `flanneld cleanup`: what flanneld and real flannel made goes, what is of others stays. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { Cluster, GATEWAY, type Node, PREFIX, until } from './support/cluster.ts';
import { compileFlanneld } from './support/flanneld-bundle.ts';

jest.setTimeout(120_000);

let program: string;
let cluster: Cluster;
let node: Node;

beforeAll(() => {
  program = compileFlanneld();
});
afterAll(() => rmSync(path.dirname(program), { recursive: true, force: true }));
beforeEach(async () => {
  cluster = await Cluster.create(program, 1);
  cluster.etcd.put(`${PREFIX}/config`, '{"Network":"10.5.0.0/16","Backend":{"Type":"udp"}}');
  [node] = cluster.nodes as [Node];
  mkdirSync(path.dirname(node.subnetFile), { recursive: true });
});
afterEach(() => cluster.destroy());

const cleanup = (...flags: string[]) => {
  const argv = [`--net=/run/netns/${node.netns}`, program, 'cleanup', `-subnet-file=${node.subnetFile}`, ...flags];
  try {
    return { code: 0, stdout: execFileSync('nsenter', argv, { encoding: 'utf8', stdio: 'pipe' }), stderr: '' };
  } catch (error) {
    const { status, stdout, stderr } = error as { status: number; stdout: string; stderr: string };
    return { code: status, stdout, stderr };
  }
};
/** The lines of a summary that name what is removed. */
const named = (stdout: string) =>
  stdout
    .split('\n')
    .filter((line) => line.startsWith('  '))
    .map((line) => line.trim());
const files = () => readdirSync(path.dirname(node.subnetFile)).sort();
/** All that cleanup could change. */
const everything = () =>
  [
    node.ip('-o', 'link').replace(/(state|qlen) \S+/g, ''),
    node.ip('route', 'show'),
    node.ip('-6', 'route', 'show'),
    node.run('nft', 'list', 'ruleset'),
    files().join('\n'),
  ].join('\n');

/** What is of others: docker's bridge, a VXLAN device and a route inside the network, a firewall. */
function addForeign(): void {
  node.ip('link', 'add', 'docker0', 'type', 'bridge');
  node.ip('address', 'add', '172.17.0.1/16', 'dev', 'docker0');
  node.ip('link', 'add', 'vxlan42', 'type', 'vxlan', 'id', '42', 'dev', 'eth0', 'dstport', '4790');
  node.ip('address', 'add', '10.5.200.1/32', 'dev', 'vxlan42');
  node.ip('route', 'add', '10.5.240.0/28', 'via', GATEWAY);
  node.run('nft', 'table inet mine { chain in { type filter hook input priority 0; tcp dport 23 drop; }; }');
  node.run('nft', 'table ip flannelish { chain post { type nat hook postrouting priority 100; }; }');
  node.run('iptables', '-A', 'FORWARD', '-i', 'docker0', '-j', 'ACCEPT');
}

/** What real flannel leaves, of several backends and both kinds of rules. */
function addFlannels(): void {
  node.ip('link', 'add', 'flannel.1', 'type', 'vxlan', 'id', '1', 'dev', 'eth0', 'dstport', '8472');
  node.ip('address', 'add', '10.5.77.0/32', 'dev', 'flannel.1');
  node.ip('link', 'set', 'flannel.1', 'up');
  node.ip('route', 'add', '10.5.66.0/24', 'via', '10.5.66.0', 'dev', 'flannel.1', 'onlink');
  node.ip('link', 'add', 'flannel-v6.1', 'type', 'vxlan', 'id', '1', 'dev', 'eth0', 'dstport', '8475');
  node.ip('tuntap', 'add', 'flannel3', 'mode', 'tun');
  node.ip('address', 'add', '10.5.78.0/32', 'dev', 'flannel3');
  node.ip('route', 'add', '10.5.99.0/24', 'via', GATEWAY); // host-gw
  node.run('nft', 'table ip flannel-ipv4 { chain postrtg { ip saddr 10.5.0.0/16 accept; }; }');
  node.run('iptables', '-t', 'nat', '-N', 'FLANNEL-POSTRTG');
  node.run('iptables', '-t', 'nat', '-A', 'FLANNEL-POSTRTG', '-s', '10.5.0.0/16', '-j', 'RETURN');
  node.run('iptables', '-t', 'nat', '-A', 'POSTROUTING', '-j', 'FLANNEL-POSTRTG');
}

test('removes all that flanneld and flannel made, first shows it, and leaves what is of others', async () => {
  addForeign();
  const before = everything();
  await node.startReady(['-ip-masq']);
  await node.stop('SIGKILL');
  addFlannels();

  const dirty = everything();
  const shown = cleanup('-dry-run');
  expect(shown).toMatchObject({ code: 0, stderr: '' });
  expect(shown.stdout).toMatch(/^Would remove:\n/);
  expect(everything()).toBe(dirty);

  const removed = cleanup();
  expect(removed).toMatchObject({ code: 0, stderr: '' });
  expect(removed.stdout).toMatch(/^Removed:\n/);
  expect(named(removed.stdout)).toEqual(named(shown.stdout));
  expect(named(removed.stdout)).toEqual(
    expect.arrayContaining([
      'device flannel.1',
      'device flannel-v6.1',
      'device flannel3',
      'route 10.5.99.0/24 via 10.64.0.1 dev eth0',
      'table ip flannel-ipv4',
      'table ip flannel-ipv4-10.5.0.0-16',
      'chain FLANNEL-POSTRTG in ip nat',
      ...['env', 'env.address', 'state.json', 'sock'].map((end) => `file ${node.subnetFile.replace(/env$/, end)}`),
    ]),
  );
  // iptables made the table nat, which is not flannel's.
  node.run('nft', 'delete', 'table', 'ip', 'nat');
  expect(everything()).toBe(before);
  expect(cleanup()).toEqual({ code: 0, stdout: 'There is nothing to remove.\n', stderr: '' });
});

test('keeps the bridge of pods and the identity unless flags say otherwise', async () => {
  await node.startReady();
  node.addPodAddress();
  await node.stop();
  const identity = `${node.subnetFile}.identity.json`;
  writeFileSync(identity, '{}');
  const shown = cleanup('-dry-run');
  expect(shown.stdout).toContain('Would keep the bridge of pods cni0: -bridge removes it\n');
  expect(shown.stdout).toContain(`Would keep what other nodes know this one by, ${identity}: -identity removes it\n`);
  const { code, stdout } = cleanup('-bridge', '-identity');
  expect([code, stdout.includes('keep'), stdout.includes('Kept')]).toEqual([0, false, false]);
  expect(named(stdout)).toEqual(expect.arrayContaining(['device cni0', `file ${identity}`]));
  expect(node.ip('-o', 'link')).not.toContain('cni0');
  expect(files()).toEqual([]);
});

test.each([
  ['vxlan', '{"Type":"vxlan"}'],
  ['host-gw', '{"Type":"host-gw"}'],
])('leaves nothing of %s with a peer, of either family', async (_, backend) => {
  const network = '"Network":"10.5.0.0/16","EnableIPv6":true,"IPv6Network":"fd00:5::/48"';
  cluster.etcd.put(`${PREFIX}/config`, `{${network},"Backend":${backend}}`);
  node.ip('address', 'add', `${node.address6}/64`, 'dev', 'eth0', 'nodad');
  const v6 = '"PublicIPv6":"2001:db8:64::99","BackendV6Data":{"VNI":1,"VtepMAC":"c6:d2:32:6f:8f:45"}';
  const v4 = '"PublicIP":"10.64.0.99","BackendData":{"VNI":1,"VtepMAC":"c6:d2:32:6f:8f:44"}';
  const type = JSON.parse(backend).Type;
  cluster.etcd.put(`${PREFIX}/subnets/10.5.9.0-24&fd00:5:0:9::-64`, `{"BackendType":"${type}",${v4},${v6}}`);
  const before = everything();
  node.start();
  const routes = () => node.ip('route', 'show', '10.5.9.0/24') + node.ip('-6', 'route', 'show', 'fd00:5:0:9::/64');
  await until(() => /10\.5\.9\.0\/24[\s\S]*fd00:5:0:9::\/64/.test(routes()));
  await until(() => existsSync(node.subnetFile));
  await node.stop('SIGKILL');
  expect(routes()).not.toBe('');
  const { code, stderr } = cleanup('-identity');
  expect([code, stderr, everything()]).toEqual([0, '', before]);
});

test('refuses while flanneld runs, unless forced', async () => {
  await node.startReady();
  const refused = cleanup();
  expect([refused.code, refused.stdout]).toEqual([1, '']);
  expect(refused.stderr).toMatch(
    /^flanneld: flanneld \(process \d+\) runs and would make all of this again: stop it first, or say -force\n$/,
  );
  expect(node.probe('readyz')).toBe('200 flanneld is ready');
  expect(cleanup('-dry-run').code).toBe(0);
  expect(existsSync(node.subnetFile)).toBe(true);
  expect(named(cleanup('-force').stdout)).toContain('device flannel0');
});

test('a subnet file of which nothing else is left is removed', () => {
  const stale = 'FLANNEL_NETWORK=10.5.0.0/16\nFLANNEL_SUBNET=10.5.1.1/24\nFLANNEL_MTU=1472\nFLANNEL_IPMASQ=false\n';
  writeFileSync(node.subnetFile, stale);
  expect(named(cleanup().stdout)).toEqual([`file ${node.subnetFile}`]);
  expect(existsSync(node.subnetFile)).toBe(false);
});

test('refuses with a subnet file that does not say which network is meant, and removes nothing', async () => {
  await node.startReady();
  await node.stop();
  for (const text of ['', 'FLANNEL_NETWORK=10.5.0.0/\n', 'FLANNEL_NETWORK\n']) {
    writeFileSync(node.subnetFile, text);
    const before = everything();
    for (const flags of [[], ['-dry-run'], ['-force']]) {
      const { code, stdout, stderr } = cleanup(...flags);
      expect([code, stdout]).toEqual([1, '']);
      expect(stderr.trim().split('\n')).toHaveLength(1);
      expect(stderr).toContain(`Which network is meant cannot be read, and nothing was removed: ${node.subnetFile}`);
      expect(stderr).toContain('repair that file, or delete it to clean up after every network');
    }
    expect(everything()).toBe(before);
  }
  rmSync(node.subnetFile);
  expect(cleanup()).toMatchObject({ code: 0, stdout: expect.stringContaining('Removed:') });
});

test('refuses while a flanneld that is not seen, as from another container, listens at the socket', async () => {
  const socket = node.subnetFile.replace(/env$/, 'sock');
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  try {
    const { code, stderr } = cleanup();
    expect([code, stderr]).toEqual([1, expect.stringContaining(`A flanneld that listens at ${socket} runs`)]);
  } finally {
    server.close();
  }
});

test('the CNI configuration is written when the node can serve pods, outlives flanneld, and goes with what is ours only', async () => {
  const file = path.join(path.dirname(node.subnetFile), 'net.d', '10-flannel.conflist');
  const flag = `-cni-conf-file=${file}`;
  await node.startReady([flag]);
  await until(() => existsSync(file));
  expect(JSON.parse(readFileSync(file, 'utf8')).plugins).toMatchObject([
    { type: 'flannel', subnetFile: node.subnetFile },
  ]);
  await node.stop('SIGTERM');
  expect(existsSync(file)).toBe(true);
  const { ino } = statSync(file);
  await node.startReady([flag]);
  await node.stop('SIGTERM');
  expect(statSync(file).ino).toBe(ino);
  const text = readFileSync(file, 'utf8');
  writeFileSync(file, `${text} `);
  expect(named(cleanup(flag).stdout)).not.toContain(`file ${file}`);
  expect(existsSync(file)).toBe(true);
  writeFileSync(file, text);
  await node.startReady([flag]);
  await node.stop('SIGTERM');
  expect(named(cleanup(flag).stdout)).toContain(`file ${file}`);
  expect(existsSync(file)).toBe(false);
});
