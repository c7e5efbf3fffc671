/**
 * A stack's machines boot with the user-data that the stack renders: real cloud-init, real systemd with the sandboxes on, the
 * built flanneld, CNI plugin and etcd. Each test goes on where the one before ended.
 */
import { Lab, type Zone } from './support/lab.ts';
import type { Machine } from './support/machine.ts';
import { Pod, untilReady } from './support/pods.ts';
import { until } from './support/process.ts';
import { BootedStack, type Place, SNAPSHOTS } from './support/stack.ts';
import type { Volume } from './support/volume.ts';

jest.setTimeout(300_000);

const ZONES: readonly Zone[] = [
  { name: 'eu-central-1a', gateway: '10.64.0.1/24' },
  { name: 'eu-central-1b', gateway: '10.64.1.1/24' },
];
const ETCD: Place = { name: 'etcd-0', zone: ZONES[0]!, address: '10.64.0.10' };
const WORKERS: readonly [Place, Place] = [
  { name: 'node-0', zone: ZONES[0]!, address: '10.64.0.20' },
  { name: 'node-1', zone: ZONES[1]!, address: '10.64.1.20' },
];
const NETWORK = '{"Network":"10.244.0.0/16","SubnetLen":24,"Backend":{"Type":"udp"}}';
const SUBNETS = '/coreos.com/network/subnets/';

let lab: Lab;
let stack: BootedStack;
let volume: Volume;
let etcd: Machine;
let workers: [Machine, Machine];
let pods: [Pod, Pod];

beforeAll(async () => {
  lab = await Lab.create(ZONES);
  stack = await BootedStack.create(lab, { name: 'boot', members: [ETCD], network: NETWORK });
  volume = lab.volume('etcd-0', 512);
  etcd = stack.member(ETCD, volume);
  workers = [stack.node(WORKERS[0]), stack.node(WORKERS[1])];
});

afterAll(() => lab?.destroy());

test('machines boot with the user-data of the stack, in any order', async () => {
  await Promise.all([etcd, ...workers].map((machine) => machine.boot()));
  await Promise.all(workers.map(untilReady));
  for (const machine of [etcd, ...workers]) {
    expect(await machine.failedUnits()).toEqual([]);
    expect(await machine.state()).toBe('running');
    expect(await machine.exec('cloud-init', 'schema', '--system')).toContain('Valid cloud-config');
  }
});

test('the group hears from each node when it is ready, once', async () => {
  const ids = workers.map((worker) => lab.instanceOf(worker).id);
  const heard = () => [...lab.services.completed].sort();
  const expected = ids.map((id) => `flannel-ready CONTINUE ${id}`).sort();
  await until('the group has heard from both', () => heard().length >= expected.length, { seconds: 120 });
  expect(heard()).toEqual(expected);
  for (const worker of workers)
    expect(await worker.exec('systemctl', 'is-active', 'flannel-lifecycle')).toBe('active\n');
});

test('machines ask for nothing that their roles do not let them have', () => {
  expect(lab.services.calls.filter(({ allowed }) => !allowed)).toEqual([]);
  const asked = (role: string) => [
    ...new Set(lab.services.calls.filter((call) => call.role === role).map(({ action }) => action)),
  ];
  expect(asked('node').sort()).toEqual([
    'autoscaling:CompleteLifecycleAction',
    'ec2:ModifyInstanceAttribute',
    's3:GetObject',
    'ssm:GetParameter',
  ]);
  expect(asked('etcd').sort()).toEqual(['s3:GetObject', 's3:ListBucket', 's3:PutObject', 'ssm:GetParameter']);
});

test('a node switches its source and destination check as the stack says, and nothing that is so already', async () => {
  const { sourceDestChecks: checks } = lab.services;
  expect(checks).toEqual(['false', 'false']);
  stack.setSourceDestCheck('on');
  await workers[0].exec('/usr/local/lib/flannel/source-check');
  expect(checks.splice(2)).toEqual(['true']);
  await workers[0].exec('/usr/local/lib/flannel/source-check');
  expect(checks.splice(2)).toEqual([]);
  stack.setSourceDestCheck('off');
  await workers[0].exec('/usr/local/lib/flannel/source-check');
  expect(checks.splice(2)).toEqual(['false']);
});

test('daemons run as nobody in particular, with what they need and no more', async () => {
  expect(await confinement(workers[0], 'flanneld')).toEqual({
    user: 'flannel',
    capabilities: 'cap_net_admin cap_net_raw cap_bpf',
    NoNewPrivs: '1',
    Seccomp: '2',
  });
  expect(await confinement(etcd, 'etcd')).toEqual({ user: 'etcd', capabilities: '', NoNewPrivs: '1', Seccomp: '2' });
});

test('keys are for their daemon alone, and in no log', async () => {
  const stat = ['stat', '--format=%U %a'];
  expect(await workers[0].exec(...stat, '/etc/flannel/tls/client.key')).toBe('flannel 400\n');
  expect(await etcd.exec(...stat, '/etc/etcd/tls/server.key', '/etc/etcd/tls/peer.key')).toBe('etcd 400\netcd 400\n');
  expect(secrets().length).toBeGreaterThan(0);
  for (const machine of [etcd, ...workers]) {
    const logs = `${await machine.journal()}${await machine.exec('cat', '/var/log/cloud-init.log', '/var/log/cloud-init-output.log')}`;
    expect(logs).toContain('flannel');
    for (const key of secrets()) expect(logs).not.toContain(key);
  }
});

test('pods of two machines talk over the overlay', async () => {
  pods = [await Pod.create(workers[0], 'pod-0'), await Pod.create(workers[1], 'pod-1')];
  expect(await pods[0].problemsWith(pods[1])).toEqual([]);
});

test('the path of pods is probed from a health endpoint, whose address no pod gets', async () => {
  for (const worker of workers) {
    const address = (await subnetOf(worker))!.replace(/\.1\/24$/, '.254');
    await until('the health endpoint is made', async () => (await worker.journal()).includes(`endpoint ${address}`));
    const reservation = `/var/lib/cni/networks/flannel/${address}`;
    expect(await worker.exec('stat', '--format=%U', reservation)).toBe('flannel\n');
    const other = pods.find(({ machine }) => machine !== worker)!;
    await until('pods of the other machine reach it', async () => {
      return (await other.machine.run(...other.inside('ping', '-c', '1', '-W', '2', address))).code === 0;
    });
    expect(await worker.exec('curl', '-s', 'http://127.0.0.1:8081/readyz?verbose')).not.toContain('pod path');
  }
});

test('a restart of flanneld, and its sudden end, lose no packet: systemd keeps the device and the socket', async () => {
  const [from, to] = pods;
  const count = 160;
  const ping = from.machine.run(...from.inside('ping', '-q', '-i', '0.05', '-c', `${count}`, '-W', '20', to.address));
  await workers[0].exec('systemctl', 'restart', 'flanneld');
  await workers[1].exec('systemctl', 'kill', '--signal=KILL', 'flanneld');
  await Promise.all(workers.map(untilReady));
  expect((await ping).stdout).toContain(`${count} packets transmitted, ${count} received`);
  for (const machine of workers) {
    expect(await machine.journal('-u', 'flanneld')).toContain('Taking over device flannel0');
  }
});

test('etcd lets nodes change nothing but leases', async () => {
  await etcd.exec('mkdir', '-p', '/tmp/node');
  for (const name of ['ca', 'certificate', 'key']) {
    const { value } = lab.services.parameters.get(`/flannel/boot/node/${name}`)!;
    await etcd.runWithInput(value, 'sh', '-c', `cat >/tmp/node/${name}`);
  }
  const tls = ['--cacert=/tmp/node/ca', '--cert=/tmp/node/certificate', '--key=/tmp/node/key'];
  const asNode = (...args: string[]) =>
    etcd.run('/opt/etcd/current/etcdctl', `--endpoints=${stack.endpoints[0]}`, ...tls, ...args);
  expect((await asNode('get', '--print-value-only', '/coreos.com/network/config')).stdout.trim()).toBe(NETWORK);
  expect((await asNode('put', '/coreos.com/network/config', '{}')).stderr).toContain('permission denied');
  expect((await asNode('put', '/elsewhere', 'x')).stderr).toContain('permission denied');
  expect((await asNode('put', `${SUBNETS}1.2.3.0-24`, 'x')).code).toBe(0);
  expect((await asNode('del', `${SUBNETS}1.2.3.0-24`)).code).toBe(0);
});

test('a node that reboots keeps its subnet', async () => {
  const before = await subnetOf(workers[1]);
  await workers[1].reboot();
  await untilReady(workers[1]);
  expect(await workers[1].failedUnits()).toEqual([]);
  expect(await subnetOf(workers[1])).toBe(before);
  pods[1] = await Pod.create(workers[1], 'pod-1b');
  expect(await pods[0].problemsWith(pods[1])).toEqual([]);
});

test('a corrupt artifact is refused, the old one goes on, and the right one is taken when it is there', async () => {
  const old = await installed(workers[0]);
  const artifact = stack.anotherArtifact();
  const bytes = stack.stored(artifact);
  stack.store(artifact, bytes.subarray(0, bytes.length - 1));
  lab.reuse(workers[0], stack.nodeUserData(artifact));
  await workers[0].shutDown();
  await workers[0].switchOn();
  await untilReady(workers[0]);
  const refusal = `does not have the sha256 ${artifact.sha256}`;
  await until('the artifact is refused', async () => (await workers[0].journal('-b')).includes(refusal));
  expect(await installed(workers[0])).toBe(old);
  pods[0] = await Pod.create(workers[0], 'pod-0b');
  expect(await pods[0].problemsWith(pods[1])).toEqual([]);

  stack.store(artifact, bytes);
  const isTaken = async () => (await installed(workers[0])) === artifact.sha256;
  await until('the artifact is taken', isTaken, { seconds: 120 });
  const program = `/opt/flannel/${artifact.sha256}/flanneld`;
  await until('flanneld runs it', async () => (await programOf(workers[0], 'flanneld')) === program);
  await untilReady(workers[0]);
  expect(await pods[0].problemsWith(pods[1])).toEqual([]);
});

test('a node with a new artifact takes the place of an old one', async () => {
  const artifact = stack.anotherArtifact();
  await workers[1].shutDown();
  await lab.terminate(workers[1]);
  workers[1] = stack.node({ ...WORKERS[1], name: 'node-2', address: '10.64.1.21' }, artifact);
  await workers[1].boot();
  await untilReady(workers[1]);
  expect(await installed(workers[1])).toBe(artifact.sha256);
  expect(await workers[1].failedUnits()).toEqual([]);
  pods[1] = await Pod.create(workers[1], 'pod-2');
  expect(await pods[0].problemsWith(pods[1])).toEqual([]);
});

test('a node that its group ends gives its lease back, and says so', async () => {
  const leaving = stack.node({ ...WORKERS[0], name: 'node-4', address: '10.64.0.24' });
  await leaving.boot();
  await untilReady(leaving);
  const { id } = lab.instanceOf(leaving);
  const words = () => lab.services.completed.filter((word) => word.endsWith(id));
  await until('the group has heard that it is ready', () => words().length > 0, { seconds: 120 });
  const leases = async () =>
    (await ctl('get', '--prefix', '--print-value-only', SUBNETS)).match(/10[.]64[.]\d+[.]\d+/g);
  expect(await leases()).toContain('10.64.0.24');
  // A restart is no end.
  await leaving.exec('systemctl', 'restart', 'flanneld');
  await untilReady(leaving);
  expect(await leases()).toContain('10.64.0.24');
  lab.retire(leaving);
  await until('the group has heard that it may go', () => words().length > 1, { seconds: 120 });
  expect(words()).toEqual([`flannel-ready CONTINUE ${id}`, `flannel-lease-given-back CONTINUE ${id}`]);
  expect(await leases()).not.toContain('10.64.0.24');
  expect(await leaving.failedUnits()).toEqual([]);
  await lab.terminate(leaving);
});

test('a node that is shut down for its end gives its lease back as well, though no hook waits for it', async () => {
  const leaving = stack.node({ ...WORKERS[0], name: 'node-5', address: '10.64.0.25' });
  await leaving.boot();
  await untilReady(leaving);
  await leaving.exec('systemctl', 'stop', 'flannel-lifecycle');
  lab.retire(leaving);
  await leaving.shutDown();
  await lab.terminate(leaving);
  expect(await ctl('get', '--prefix', '--print-value-only', SUBNETS)).not.toContain('10.64.0.25');
});

test('another machine takes over the data of an etcd member, and pods do not notice', async () => {
  const before = await ctl('get', '--prefix', '/');
  const id = await ctl('member', 'list');
  await etcd.shutDown();
  await lab.terminate(etcd);
  expect(snapshots()).toHaveLength(1); // the last thing it did
  expect(await pods[0].problemsWith(pods[1])).toEqual([]);
  etcd = stack.member(ETCD, volume);
  await etcd.boot();
  expect(await etcd.failedUnits()).toEqual([]);
  expect(await ctl('member', 'list')).toBe(id);
  expect(await ctl('get', '--prefix', '/')).toBe(before);
  await Promise.all(workers.map(untilReady));
});

test('a snapshot can be restored from S3', async () => {
  await ctl('put', '/marker', 'before');
  await etcd.exec('/opt/etcd/current/flannel-etcd', 'snapshot', 'any');
  await ctl('put', '/marker', 'after');
  // Nodes have seen this, and go on from there: an etcd that has forgotten it must not leave them waiting for what comes after.
  for (let i = 0; i < 5; i++) {
    await ctl('put', `${SUBNETS}10.244.250.0-24`, '{"PublicIP":"10.64.0.250"}');
    await ctl('del', `${SUBNETS}10.244.250.0-24`);
  }
  const listed = (await etcd.exec('/opt/etcd/current/flannel-etcd', 'snapshots')).trim().split('\n');
  await etcd.exec('/opt/etcd/current/flannel-etcd', 'restore', listed.at(-1)!);
  await etcd.exec('systemctl', 'start', 'etcd');
  expect(await ctl('get', '--print-value-only', '/marker')).toBe('before\n');
  await Promise.all(workers.map(untilReady));
  expect(await pods[0].problemsWith(pods[1])).toEqual([]);
});

test('nodes hear of each other in an etcd that has gone back in time', async () => {
  await lab.terminate(workers[1]);
  workers[1] = stack.node({ ...WORKERS[1], name: 'node-3', address: '10.64.1.22' });
  await workers[1].boot();
  await untilReady(workers[1]);
  pods[1] = await Pod.create(workers[1], 'pod-3');
  expect(await pods[0].problemsWith(pods[1])).toEqual([]);
});

async function subnetOf(machine: Machine): Promise<string | undefined> {
  return /^FLANNEL_SUBNET=(.*)$/m.exec(await machine.exec('cat', '/run/flannel/subnet.env'))?.[1];
}

/** The sha256 of the artifact that the machine runs. */
async function installed(machine: Machine): Promise<string> {
  return (await machine.exec('readlink', '/opt/flannel/current')).trim();
}

async function mainPid(machine: Machine, unit: string): Promise<string> {
  return (await machine.exec('systemctl', 'show', '--property=MainPID', '--value', unit)).trim();
}

/** Nothing, when it has just ended. */
async function programOf(machine: Machine, unit: string): Promise<string> {
  return (await machine.run('readlink', `/proc/${await mainPid(machine, unit)}/exe`)).stdout.trim();
}

/** As the kernel sees the process. */
async function confinement(machine: Machine, unit: string): Promise<Record<string, string>> {
  const pid = await mainPid(machine, unit);
  const status = await machine.exec('cat', `/proc/${pid}/status`);
  const value = (name: string) => new RegExp(`^${name}:\\s*(\\S+)`, 'm').exec(status)?.[1] ?? '';
  const bits = BigInt(`0x${value('CapBnd')}`);
  expect([value('CapEff'), value('CapPrm')]).toEqual([value('CapBnd'), value('CapBnd')]);
  return {
    user: (await machine.exec('id', '-un', value('Uid'))).trim(),
    capabilities: capabilityNames(bits),
    NoNewPrivs: value('NoNewPrivs'),
    Seccomp: value('Seccomp'),
  };
}

/** As linux/capability.h numbers them. */
const CAPABILITIES = { cap_net_admin: 12n, cap_net_raw: 13n, cap_bpf: 39n };

/** Those that no daemon should have make it a number. */
function capabilityNames(bits: bigint): string {
  const present = Object.entries(CAPABILITIES).filter(([, bit]) => (bits & (1n << bit)) !== 0n);
  const known = present.reduce((sum, [, bit]) => sum | (1n << bit), 0n);
  return known === bits ? present.map(([name]) => name).join(' ') : bits.toString(16);
}

function ctl(...args: string[]): Promise<string> {
  return etcd.exec('/opt/etcd/current/flannel-etcd', 'ctl', ...args);
}

/** Names of the snapshots in the bucket. */
function snapshots(): string[] {
  const names = [...lab.services.objects.keys()];
  return names.filter((name) => name.startsWith(`${SNAPSHOTS.bucket}/`) && name.endsWith('.db'));
}

/** A line of each key that only one machine may know. */
function secrets(): string[] {
  const encrypted = [...lab.services.parameters.values()].filter(({ type }) => type === 'SecureString');
  return encrypted.map(({ value }) => value.split('\n')[1]!);
}
