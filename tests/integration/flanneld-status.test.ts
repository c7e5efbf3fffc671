/** `flanneld status`: asked without a port, of daemons that are ready, cut off, stopped, or not there. */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import { Cluster, type Node, PREFIX, until } from './support/cluster.ts';
import { compileFlanneld } from './support/flanneld-bundle.ts';

jest.setTimeout(120_000);

let program: string;
let cluster: Cluster;
let [a, b] = [] as unknown as [Node, Node];

beforeAll(() => {
  program = compileFlanneld();
});
afterAll(() => rmSync(path.dirname(program), { recursive: true, force: true }));
beforeEach(async () => {
  cluster = await Cluster.create(program, 2);
  cluster.etcd.put(`${PREFIX}/config`, '{"Network":"10.5.0.0/16","Backend":{"Type":"udp"}}');
  [a, b] = cluster.nodes as [Node, Node];
});
afterEach(() => cluster.destroy());

interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const ask = (node: Node, ...flags: string[]): Outcome => {
  const command = ['nsenter', `--net=/run/netns/${node.netns}`, program, 'status', ...flags];
  try {
    const stdout = execFileSync(command[0]!, command.slice(1), { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
    return { code: 0, stdout, stderr: '' };
  } catch (error) {
    const { status, stdout, stderr } = error as { status: number; stdout: string; stderr: string };
    return { code: status, stdout, stderr };
  }
};
const socketOf = (node: Node) => node.subnetFile.replace(/env$/, 'sock');
const json = (node: Node) => JSON.parse(ask(node, '-json').stdout);

test('shows the lease and the other nodes, without a port and without a flag, to root alone', async () => {
  a.start(['-healthz-port=0']);
  b.start();
  await until(() => ask(a, '-wait').code === 0);
  await until(() => typeof json(a).peers[0]?.lastAnswerSecondsAgo === 'number');
  const { stdout } = ask(a);
  expect(stdout).toMatch(/^flanneld test \(process \d+, up .*\) is ready\n/);
  expect(stdout).toContain(`node      ${a.address} on eth0\n`);
  expect(stdout).toMatch(/flannel0 {2}sent .*, received /);
  expect(stdout).toContain(`\n${b.address}  `);
  expect(json(a)).toMatchObject({ ready: true, troubles: [], peers: [{ address: b.address, traffic: {} }] });
  expect(statSync(socketOf(a)).mode & 0o777).toBe(0o600);
});

test('a node that nobody answers exits with 1, and says since when and what to do', async () => {
  for (const node of cluster.nodes) node.start();
  for (const node of cluster.nodes) await node.untilReady();
  // On the other node: what this one drops itself is named instead.
  b.run('nft', 'table inet fltest { chain in { type filter hook input priority 0; udp dport 8285 drop; }; }');
  await until(() => /NOT WELL\n {2}reach, for .*\n[\s\S]*-> ping -c 3 10\.64\.0\.17\n/.test(ask(a).stdout));
  expect(ask(a).code).toBe(1);
  const waited = ask(a, '-wait', '-timeout=1');
  expect([waited.code, waited.stderr]).toEqual([1, 'flanneld: Still not ready after 1 s of waiting\n']);
});

test('a stopped daemon is named with the command that continues it', async () => {
  await a.startReady();
  const pid = json(a).pid as number;
  process.kill(pid, 'SIGSTOP');
  try {
    const { code, stderr } = ask(a, `-subnet-file=${a.subnetFile}`);
    expect(code).toBe(4);
    expect(stderr).toContain(`flanneld (process ${pid}) does not answer within 3 s`);
    expect(stderr).toContain(`kill -CONT ${pid}`);
  } finally {
    process.kill(pid, 'SIGCONT');
  }
});

test('where no flanneld runs the exit code is 3, also after a kill that left the socket behind', async () => {
  const gone = ask(a, `-subnet-file=${a.subnetFile}`);
  expect([gone.code, gone.stderr]).toEqual([
    3,
    `flanneld: No flanneld runs here with the subnet file ${a.subnetFile}: start it\n`,
  ]);
  await a.startReady();
  await a.stop('SIGKILL');
  expect(existsSync(socketOf(a))).toBe(true);
  expect(ask(a, `-subnet-file=${a.subnetFile}`).code).toBe(3);
  const { code, stdout } = ask(a, `-subnet-file=${a.subnetFile}`, '-json');
  expect([code, JSON.parse(stdout)]).toMatchObject([3, { ready: false, running: false }]);
});

test('a socket that somebody deleted is made again, also with its directory', async () => {
  await a.startReady();
  rmSync(socketOf(a));
  await until(() => ask(a).code === 0);
  rmSync(path.dirname(socketOf(a)), { recursive: true });
  await until(() => ask(a).code === 0);
  await until(() => a.logged('Made the status socket again') === 2);
  expect(readdirSync(path.dirname(socketOf(a))).filter((name) => name.endsWith('.sock'))).toEqual(['subnet.sock']);
  await a.stop();
  expect(existsSync(socketOf(a))).toBe(false);
});

test('two daemons of one host are distinguished by their subnet files, and a daemon that ends removes its own socket only', async () => {
  cluster.etcd.put('/other/config', '{"Network":"10.6.0.0/16","Backend":{"Type":"udp","Port":8286}}');
  const other = cluster.addDaemon(a, {});
  await a.startReady();
  await other.startReady();
  const asked = ask(a);
  expect(asked.code).toBe(3);
  expect(asked.stderr).toContain('choose another with -subnet-file');
  expect(asked.stderr).toContain(other.subnetFile);
  expect(ask(a, `-subnet-file=${other.subnetFile}`).stdout).toContain('lease     10.6.');
  await other.stop();
  expect([existsSync(socketOf(other)), existsSync(socketOf(a))]).toEqual([false, true]);
});

test('a normal end is no warning in the log', async () => {
  await a.startReady();
  expect(await a.stop()).toMatchObject({ code: 0 });
  expect(a.log.filter(({ level }) => level >= 40)).toEqual([]);
});
