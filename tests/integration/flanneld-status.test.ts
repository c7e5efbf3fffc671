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
  await until(() => typeof json(a).peers?.[0]?.lastAnswerSecondsAgo === 'number');
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
  await until(() =>
    /NOT WELL\n {2}reach, for .*\n[\s\S]*-> open UDP port 8285 between the nodes, if they reach each other: ping -c 3\s+10\.64\.0\.17\n/.test(
      ask(a).stdout,
    ),
  );
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
  // flanneld may write into it meanwhile.
  rmSync(path.dirname(socketOf(a)), { recursive: true, maxRetries: 20 });
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

describe('a network config that is not valid', () => {
  const key = `${PREFIX}/config`;
  const put = (text: string) => cluster.etcd.put(key, text);
  const details = (node: Node): string => json(node).details.join('\n');
  const VALID = '{"Network":"10.5.0.0/16","Backend":{"Type":"udp"}}';
  const UNKNOWN_VNI = '{"Network":"10.5.0.0/16","Backend":{"Type":"vxlan","VNI":16777216}}';

  test('is named at once while the node goes on, in the place of what was said of another one', async () => {
    await a.startReady();
    put('{"Network":"10.6.0.0/16","Backend":{"Type":"udp"}}');
    await until(() => details(a).includes('another IPv4 network'));
    for (const text of [UNKNOWN_VNI, '{"Network":']) {
      put(text);
      await until(() => details(a).includes(text === UNKNOWN_VNI ? 'VNI' : 'JSON'));
      expect(details(a)).toContain(`network config: the network config in etcd (${key}) is not valid: `);
      expect(details(a)).toMatch(
        /this node goes on with an earlier one until it is put right: etcdctl .* get \S+config/,
      );
      expect(details(a)).not.toContain('another IPv4 network');
    }
    const shown = ask(a);
    expect([shown.code, shown.stdout]).toEqual([0, expect.stringContaining('WORTH KNOWING\n  network config: ')]);
    expect(a.get('readyz?verbose')).toContain('is not valid');
    cluster.etcd.etcdctl('del', key);
    await until(() => details(a).includes(`there is no network config in etcd: the key ${key} is missing`));
    put(VALID);
    await until(() => !details(a).includes('network config'));
  });

  test.each([
    ['is not valid', () => put(UNKNOWN_VNI), 'is not valid: '],
    ['is missing', () => void cluster.etcd.etcdctl('del', key), 'there is no network config in etcd: '],
  ])('that %s is no obstacle to a start with what an earlier run kept', async (_, spoil, said) => {
    for (const node of cluster.nodes) node.start();
    for (const node of cluster.nodes) {
      await node.untilReady();
      node.addPodAddress();
    }
    await until(() => a.canPing(b));
    const { subnet } = a;
    spoil();
    await a.stop('SIGKILL');
    a.start();
    await a.untilReady();
    await until(() => a.canPing(b) && b.canPing(a));
    expect(a.subnet).toBe(subnet);
    expect(a.logged('Etcd has no valid network config: serving with the one that an earlier run kept')).toBe(1);
    await until(() => details(a).includes(said));
    const { pid } = a;
    put('{"Network":"10.5.0.0/16","Backend":{"Type":"vxlan"}}');
    await until(() => a.run('ip', '-br', 'link').includes('flannel.1') && a.canPing(b));
    await until(() => !details(a).includes('network config'));
    expect(a.pid).toBe(pid);
  });

  test('is the cause that a start without kept state names', async () => {
    put(UNKNOWN_VNI);
    a.start();
    await until(() => /^lease: .* is not valid: .*VNI/m.test(a.probe('readyz')));
    expect(a.probe('readyz')).not.toContain('waiting for the network config');
    expect(json(a).troubles[0]).toMatchObject({
      part: 'lease',
      remedy: `etcdctl --endpoints ${cluster.endpoint} get ${key}`,
    });
    put(VALID);
    await a.untilReady();
  });
});
