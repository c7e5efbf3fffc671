/** `flanneld support`: what is in the archive, and that no secret is. */
import { execFileSync, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Cluster, type Node, PREFIX, until } from './support/cluster.ts';
import { compileFlanneld } from './support/flanneld-bundle.ts';

jest.setTimeout(120_000);

const PASSWORD = 'correct-horse-battery';
const KEY = 'yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=';
const PSK = 'FpCyhws9cxwWoV4xELtfJvjJN+zQVRPISllRWgeopVE=';

let program: string;
let cluster: Cluster;
let node: Node;

beforeAll(() => {
  program = compileFlanneld();
});
afterAll(() => rmSync(path.dirname(program), { recursive: true, force: true }));
beforeEach(async () => {
  cluster = await Cluster.create(program, 1);
  [node] = cluster.nodes as [Node];
  mkdirSync(node.directory, { recursive: true });
});
afterEach(() => cluster.destroy());

/** Every file of the archive, by its name. */
function support(...flags: string[]): Record<string, string> {
  const into = path.join(node.directory, 'unpacked');
  const archive = path.join(node.directory, 'support.tar.gz');
  rmSync(into, { recursive: true, force: true });
  mkdirSync(into);
  const netns = `--net=/run/netns/${node.netns}`;
  const argv = [netns, program, 'support', `-subnet-file=${node.subnetFile}`, `-o=${archive}`, ...flags];
  expect(execFileSync('nsenter', argv, { encoding: 'utf8' })).toMatch(`Wrote ${archive} (`);
  expect(statSync(archive).mode & 0o777).toBe(0o600);
  execFileSync('tar', ['-xzf', archive, '-C', into, '--strip-components=1']);
  return Object.fromEntries(readdirSync(into).map((name) => [name, readFileSync(path.join(into, name), 'utf8')]));
}

test('has the status, the network of the kernel, rules, flags and metrics of a node that runs, and no secret of it', async () => {
  cluster.etcd.put(
    `${PREFIX}/config`,
    JSON.stringify({ Network: '10.5.0.0/16', Backend: { Type: 'udp', PSK, Engine: 'reference' } }),
  );
  cluster.etcd.etcdctl('user', 'add', `root:${PASSWORD}`);
  cluster.etcd.etcdctl('user', 'grant-role', 'root', 'root');
  cluster.etcd.etcdctl('auth', 'enable');
  writeFileSync(`${node.subnetFile}.identity.json`, JSON.stringify({ macs: {}, wireguardKey: KEY }), { mode: 0o600 });
  node.start(['-etcd-username=root', `-etcd-password=${PASSWORD}`, '-ip-masq']);
  await node.untilReady();
  node.run('nft', `table inet mine { chain in { type filter hook input priority 0; accept comment "${PASSWORD}"; }; }`);
  const state = node.subnetFile.replace(/env$/, 'state.json');
  await until(() => readFileSync(state, 'utf8').includes(PSK));

  const files = support();
  expect(JSON.parse(files['status.json']!)).toMatchObject({ ready: true, node: { backend: 'udp' } });
  expect(files['readyz.txt']).toContain('flanneld is ready');
  expect(files['metrics.txt']).toContain('flannel_');
  expect(files['links.txt']).toContain('flannel0');
  expect(files['addresses.txt']).toContain(node.address);
  expect(files['routes.txt']).toContain('10.5.0.0/16 dev flannel0');
  expect(files['rules.txt']).toContain('lookup main');
  expect(files['nftables.txt']).toContain('flannel-ipv4-10.5.0.0-16');
  expect(files['sysctls.txt']).toContain('net.ipv4.conf.flannel0.forwarding = 1');
  expect(files['subnet.env']).toBe(readFileSync(node.subnetFile, 'utf8'));
  expect(files['state.json']).toContain('10.5.0.0/16');
  expect(files['flags.txt']).toContain('-ip-masq=true (command line)\n');
  expect(files['version.txt']).toMatch(/^flanneld test\n/);
  expect(Object.keys(files)).toEqual(expect.arrayContaining(['neighbours.txt', 'fdb.txt', 'log.txt', 'iptables.txt']));
  const everything = Object.values(files).join('\n');
  for (const secret of [PASSWORD, KEY, PSK]) expect(everything).not.toContain(secret);
});

test('without -o it writes into the present directory, under a name of the host and the time', () => {
  const argv = [`--net=/run/netns/${node.netns}`, program, 'support', `-subnet-file=${node.subnetFile}`];
  const output = execFileSync('nsenter', argv, { encoding: 'utf8', cwd: node.directory });
  const [name] = readdirSync(node.directory);
  expect(name).toMatch(/^flanneld-support-.*-\d{8}T\d{6}Z\.tar\.gz$/);
  expect(output).toContain(name);
  const names = execFileSync('tar', ['-tzf', path.join(node.directory, name!)], { encoding: 'utf8' });
  expect(names).toContain(`${name!.replace('.tar.gz', '')}/status.json\n`);
});

test('has the end of the log where flanneld writes it to a file, and of a file that is named', async () => {
  const file = path.join(node.directory, 'flanneld.log');
  writeFileSync(file, `${'of before\n'.repeat(3000)}`);
  const stderr = openSync(file, 'a');
  // No etcd answers: the log says so.
  const argv = [program, '-etcd-endpoints=http://10.64.0.1:9', `-subnet-file=${node.subnetFile}`, '-healthz-port=0'];
  const child = spawn('nsenter', [`--net=/run/netns/${node.netns}`, ...argv], { stdio: ['ignore', 'ignore', stderr] });
  try {
    await until(() => readFileSync(file, 'utf8').includes('"msg"'));
    const { 'log.txt': log } = support();
    expect(log).toMatch(/^# the end of the file that flanneld writes to\nof before\n/);
    expect(log).toContain('"msg"');
    expect(log!.split('\n').length).toBeLessThan(2010);
  } finally {
    child.kill('SIGKILL');
    closeSync(stderr);
  }
  await until(() => child.signalCode !== null);
  expect(support(`-log=${file}`)['log.txt']).toContain('"msg"');
});

test('says what it has not, where no flanneld runs', () => {
  const files = support('-etcd-username=root', `-etcd-password=${PASSWORD}`);
  expect(files['status.json']).toMatch(/^No flanneld listens at /);
  expect(files['flags.txt']).toMatch(/^# this command, no flanneld runs here\n/);
  expect(files['subnet.env']).toMatch(/^Cannot be read: ENOENT/);
  expect(files['links.txt']).toContain('eth0');
  expect(Object.values(files).join('\n')).not.toContain(PASSWORD);
});
