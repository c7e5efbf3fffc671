/** One stack through its life: up, talk, up again, break and heal, scale, roll, an etcd outage, down. */
import { spawnSync } from 'node:child_process';
import { rmSync, statSync } from 'node:fs';
import { HEALTH_PORT } from '@flannel-ts/flannel/defaults';
import { printJourneys, startNumbered } from '../integration/support/numbered.ts';
import {
  changedArtifact,
  cli,
  cliOk,
  finish,
  hostNetwork,
  inside,
  insideOk,
  leftovers,
  netns,
  type Outputs,
  outputs,
  processesIn,
  servePods,
  stackName,
  start,
  unreachable,
  until,
} from './support.ts';

jest.setTimeout(600_000);

const stack = stackName('life');
const STATUS = `http://127.0.0.1:${HEALTH_PORT}/status`;
const before = hostNetwork();
let current: Outputs;

/** Every pair of pods talks by ping, TCP and UDP. */
async function expectAllReachable(): Promise<void> {
  const stop = await servePods(current.pods, 7000);
  try {
    expect(await unreachable(current.pods, 7000)).toEqual([]);
  } finally {
    stop();
  }
}

const flanneld = (node: string) =>
  processesIn(netns(stack, node)).filter(({ command }) => /flanneld\b/.test(command.split(' ')[0]!));
const counters = async (node: string) =>
  Number(
    (await insideOk(netns(stack, node), 'ip', '-s', '-j', 'link', 'show', 'flannel0')).match(/"packets":(\d+)/)?.[1],
  );
const pulumi = (...args: string[]) => cliOk('pulumi', args[0]!, '--stack', stack, ...args.slice(1));
const podOn = (node: string) => current.pods.find((pod) => pod.node === node)!;

beforeAll(async () => {
  await cliOk('up', '--stack', stack, '--nodes', '3', '--pods', '2');
  current = await outputs(stack);
});

afterAll(async () => {
  await cli('down', '--stack', stack);
});

test('up gives three nodes with a subnet each and six pods in them', () => {
  expect(current.nodes).toHaveLength(3);
  expect(new Set(current.nodes.map((node) => node.podSubnet)).size).toBe(3);
  expect(current.pods).toHaveLength(6);
  for (const pod of current.pods) {
    const subnet = current.nodes.find((node) => node.name === pod.node)!.podSubnet;
    expect(pod.address.split('.').slice(0, 3)).toEqual(subnet.split('.').slice(0, 3));
  }
});

test('every pod reaches every other by ping, TCP and UDP', expectAllReachable);

test('each node has a health endpoint, which pods of other nodes reach', async () => {
  for (const { name, podSubnet } of current.nodes) {
    const endpoint = podSubnet.replace(/\.0\/24$/, '.254');
    const from = current.pods.find(({ node }) => node !== name)!.netns;
    const answers = async () => (await inside(from, 'ping', '-c', '1', '-W', '1', endpoint)).code === 0;
    await until(`the health endpoint of ${name} answers`, answers);
  }
});

test('packets between nodes go through flannel0 and cross the VPC as raw IPv4 in UDP 8285', async () => {
  const [from, to] = [podOn('node-0'), podOn('node-1')];
  const capture = start([
    'nsenter',
    `--net=${netns(stack, 'vpc')}`,
    '--',
    'tcpdump',
    '-i',
    'vpc0',
    '-n',
    '-xx',
    '-l',
    '-U',
    '-c',
    '10',
    'udp port 8285',
  ]);
  const captured = finish(capture);
  await new Promise((resolve) => capture.stderr?.once('data', resolve)); // "listening on"
  const counted = [await counters('node-0'), await counters('node-1')];
  await insideOk(from.netns, 'ping', '-c', '10', '-i', '0.1', to.address);
  expect(await counters('node-0')).toBeGreaterThanOrEqual(counted[0]! + 10);
  expect(await counters('node-1')).toBeGreaterThanOrEqual(counted[1]! + 10);
  const hex = (await captured).stdout.replaceAll(/\s*0x[0-9a-f]{4}:\s*|\s/g, '');
  const address = (text: string) =>
    text
      .split('.')
      .map((byte) => Number(byte).toString(16).padStart(2, '0'))
      .join('');
  // UDP 8285 -> 8285, length and checksum, then at once an IPv4 header of 20 bytes with protocol ICMP between the pods.
  expect(hex).toMatch(
    new RegExp(`205d205d[0-9a-f]{8}45[0-9a-f]{16}01[0-9a-f]{4}${address(from.address)}${address(to.address)}`),
  );
});

test('a second up changes nothing', async () => {
  await pulumi('up', '--yes', '--skip-preview', '--expect-no-changes');
  await pulumi('preview', '--expect-no-changes');
});

test('a killed flanneld is started again and pods talk', async () => {
  const [process_] = flanneld('node-1');
  process.kill(process_!.pid, 'SIGKILL');
  await until('flanneld of node-1 is back', async () => {
    const [now] = flanneld('node-1');
    return (
      now !== undefined &&
      now.pid !== process_!.pid &&
      (await inside(podOn('node-0').netns, 'ping', '-c', '1', '-W', '1', podOn('node-1').address)).code === 0
    );
  });
  await expectAllReachable();
});

test('a deleted flannel0 comes back', async () => {
  await insideOk(netns(stack, 'node-2'), 'ip', 'link', 'delete', 'flannel0');
  await until(
    'node-2 forwards again',
    async () => (await inside(podOn('node-2').netns, 'ping', '-c', '1', '-W', '1', podOn('node-0').address)).code === 0,
  );
  await expectAllReachable();
});

test("a removed pod's namespace is seen by refresh and made again by up", async () => {
  const lost = podOn('node-1');
  spawnSync('ip', ['netns', 'delete', lost.netns.split('/').pop()!]);
  await pulumi('refresh', '--yes', '--skip-preview');
  expect((await outputs(stack)).nodes).toHaveLength(3);
  await pulumi('up', '--yes', '--skip-preview');
  current = await outputs(stack);
  expect(current.pods).toHaveLength(6);
  await expectAllReachable();
});

test('a killed supervisor with its daemon is seen by refresh and repaired by up', async () => {
  for (const { pid } of processesIn(netns(stack, 'node-0'))) process.kill(pid, 'SIGKILL');
  await pulumi('refresh', '--yes', '--skip-preview');
  await pulumi('up', '--yes', '--skip-preview');
  current = await outputs(stack);
  await expectAllReachable();
});

test('a node cut off from etcd keeps its network and applies what changed when etcd is back', async () => {
  const namespace = netns(stack, 'node-0');
  const etcd = new URL(current.etcdEndpoints[0]!).hostname;
  const stop = await startNumbered(podOn('node-0'), podOn('node-1'));
  await insideOk(
    namespace,
    'nft',
    // Both ways: what etcd sends would still arrive once, without an acknowledgement.
    `add table ip e2e; add chain ip e2e out { type filter hook output priority 0; }; add rule ip e2e out ip daddr ${etcd} drop; add chain ip e2e in { type filter hook input priority 0; }; add rule ip e2e in ip saddr ${etcd} drop`,
  );
  try {
    // The new node cannot be known on node-0, which `up` sees and says; everybody else reaches everybody.
    const result = await cli('up', '--stack', stack, '--nodes', '4');
    expect(result.stdout + result.stderr).toMatch(/No answer: .*pod-0-0 -> pod-3-0/);
    expect(result.stdout + result.stderr).not.toMatch(/No answer: .*pod-1-0 -> pod-[023]-0/);
    current = await outputs(stack);
    // What it reports, it has had time to do wrong.
    const says = async () => (await inside(namespace, 'curl', '-s', '-m', '2', STATUS)).stdout;
    await until('node-0 misses etcd', async () => /etcd .*has not answered for \d+ s/.test(await says()), 180);
    for (const { lost } of await stop()) expect(lost).toEqual([]);
  } finally {
    await insideOk(namespace, 'nft', 'delete table ip e2e');
  }
  await until(
    'the pod on node-0 reaches the new node',
    async () => (await inside(podOn('node-0').netns, 'ping', '-c', '1', '-W', '1', podOn('node-3').address)).code === 0,
    60,
  );
  await expectAllReachable();
});

test('scaling 4 -> 5 -> 2 loses no packet between the pods that stay', async () => {
  const stop = await startNumbered(podOn('node-0'), podOn('node-1'));
  await cliOk('up', '--stack', stack, '--nodes', '5');
  current = await outputs(stack);
  expect(current.pods).toHaveLength(10);
  await expectAllReachable();
  await cliOk('up', '--stack', stack, '--nodes', '2');
  current = await outputs(stack);
  for (const { lost } of await stop()) expect(lost).toEqual([]);
  expect(current.pods).toHaveLength(4);
  await expectAllReachable();
});

/** What runs on two nodes and in their pods: none of it is ended by what a running flanneld follows. */
const lives = () => [
  ...['node-0', 'node-1'].map((node) => flanneld(node).map(({ pid }) => pid)),
  ...current.pods.map(({ address, netns: path }) => [address, statSync(path).ino]),
];

test('up changes the port of the backend of a running stack', async () => {
  const before = lives();
  await cliOk('up', '--stack', stack, '--backend', 'udp', '--config', 'backend.Port=8299');
  current = await outputs(stack);
  expect(current.network.backend).toEqual({ Type: 'udp', Port: 8299 });
  expect(lives()).toEqual(before);
  for (const node of ['node-0', 'node-1']) {
    expect(await insideOk(netns(stack, node), 'ss', '-Hlun')).toContain(':8299');
  }
  await expectAllReachable();
});

test.each([
  { backend: 'vxlan', mtu: 1450, devices: ['flannel.1'] },
  { backend: 'host-gw', mtu: 1500, devices: [] },
  { backend: 'udp', mtu: 1472, devices: ['flannel0'] },
])(
  'up changes it to $backend, with its MTU in pods that go on, and leaves nothing of the one before',
  async ({ backend, mtu, devices }) => {
    const before = lives();
    await cliOk('up', '--stack', stack, '--backend', backend);
    current = await outputs(stack);
    expect(current.network.backend).toMatchObject({ Type: backend });
    for (const node of ['node-0', 'node-1']) {
      const links = await insideOk(netns(stack, node), 'ip', '-br', 'link');
      expect(links.match(/^flannel\S+/gm) ?? []).toEqual(devices);
    }
    expect(lives()).toEqual(before);
    await expectAllReachable();
    const [from, to] = [podOn('node-0'), podOn('node-1')];
    const largest = ['ping', '-c', '1', '-W', '2', '-M', 'do', '-s'];
    expect((await inside(from.netns, ...largest, String(mtu - 28), to.address)).code).toBe(0);
    expect((await inside(from.netns, ...largest, String(mtu - 27), to.address)).code).not.toBe(0);
  },
);

test('a changed artifact rolls the nodes, and the way back does, without a lost packet', async () => {
  const built = current.artifact.sha256;
  const { directory, sha256 } = changedArtifact('echo changed > CHANGED');
  const pids = () => ['node-0', 'node-1'].flatMap((node) => flanneld(node).map(({ pid }) => pid));
  const stopNumbered = await startNumbered(podOn('node-0'), podOn('node-1'));
  try {
    let old = pids();
    const roll = async (wanted: string, ...config: string[]) => {
      await cliOk('up', '--stack', stack, ...config);
      current = await outputs(stack);
      expect(current.artifact.sha256).toBe(wanted);
      expect(pids()).toHaveLength(2);
      for (const pid of pids()) expect(old).not.toContain(pid);
      old = pids();
    };
    await roll(sha256, '--config', `artifact=${directory}`);
    await pulumi('config', 'rm', 'artifact');
    await roll(built);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
  const journeys = await stopNumbered();
  printJourneys('Two nodes rolled to another artifact and back', journeys);
  for (const { lost } of journeys) expect(lost).toEqual([]);
  await expectAllReachable();
});

test('an artifact that does not start is refused by name, and what runs goes on', async () => {
  const { directory } = changedArtifact("printf '#!/bin/sh\\nexit 1\\n' > flanneld");
  const old = flanneld('node-0')[0]!.pid;
  const stopNumbered = await startNumbered(podOn('node-0'), podOn('node-1'));
  try {
    const { code, stdout, stderr } = await cli('up', '--stack', stack, '--config', `artifact=${directory}`);
    expect(code).not.toBe(0);
    expect(stdout + stderr).toMatch(/flanneld on node-\d does not come up: it ended 3 times.*the one before goes on/);
    expect(flanneld('node-0').map(({ pid }) => pid)).toEqual([old]);
  } finally {
    await pulumi('config', 'rm', 'artifact');
    rmSync(directory, { recursive: true, force: true });
  }
  await cliOk('up', '--stack', stack);
  for (const { lost } of await stopNumbered()) expect(lost).toEqual([]);
  await expectAllReachable();
});

test('shell and logs reach a node and a pod', async () => {
  expect((await cliOk('shell', '--stack', stack, 'node-0', 'ip', '-br', 'link')).stdout).toContain('flannel0');
  expect((await cli('shell', '--stack', stack, current.pods[0]!.name, 'sh', '-c', 'exit 7')).code).toBe(7);
  expect((await cliOk('logs', '--stack', stack, 'node-0')).stdout).toMatch(/flannel0/);
});

test('no secret is in the outputs, the process list or the logs', async () => {
  const shown =
    (await cliOk('status', '--stack', stack, '--json')).stdout +
    (await cliOk('logs', '--stack', stack, 'node-0')).stdout;
  expect(shown).not.toContain('PRIVATE KEY');
  for (const node of ['node-0', 'etcd-0', 'vpc']) {
    const commands = processesIn(netns(stack, node)).map(({ command }) => command);
    if (node !== 'vpc') expect(commands).not.toEqual([]);
    for (const command of commands) expect(command).not.toContain('PRIVATE KEY');
  }
});

test('down leaves nothing', async () => {
  await cliOk('down', '--stack', stack);
  expect(leftovers(stack)).toEqual([]);
  // Tests that run at the same time may have something on its way into a namespace.
  const added = () => hostNetwork().filter((line) => !before.includes(line));
  await until('the host has its own network again', () => added().length === 0).catch(() => {});
  expect(added()).toEqual([]);
});
