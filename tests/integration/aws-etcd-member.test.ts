/** The scripts of etcd's machines in AWS, with real etcd processes in network namespaces. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { EtcdUserData } from '../../infra/aws/boot/userdata.ts';
import { issueAuthority, issueCertificate } from '../../infra/local/host/certificates.ts';
import { ETCD_PEER_NAME } from '../../infra/node/files.ts';
import { CloudMember, sh } from './support/cloud-member.ts';

jest.setTimeout(180_000);

const ROOT = join(__dirname, '../..');
const id = `fltest-${process.pid}-etcd`;
const directory = mkdtempSync(join(tmpdir(), 'fltest-aws-etcd-'));
const cloud = join(directory, 'aws');
const members: CloudMember[] = [];
const NETWORK = '{"Network":"10.244.0.0/16","Backend":{"Type":"udp"}}';
const CONFIG = '/coreos.com/network/config';
const addressOf = (i: number) => `10.64.27.${10 + i}`;
let artifact: { file: string; sha256: string };

function userDataOf(i: number, count = 3): EtcdUserData {
  const own = `/etcd/etcd-${i}`;
  return {
    stack: 'test',
    region: 'eu-central-1',
    name: `etcd-${i}`,
    address: addressOf(i),
    members: [0, 1, 2].slice(0, count).map((i) => ({ name: `etcd-${i}`, address: addressOf(i) })),
    artifact: { bucket: 'artifacts', key: 'etcd.tar.gz', sha256: artifact.sha256 },
    parameters: {
      clientCa: '/etcd/client-ca',
      peerCa: '/etcd/peer-ca',
      admin: '/etcd/admin',
      adminKey: '/etcd/admin-key',
      server: `${own}/server`,
      serverKey: `${own}/server-key`,
      peer: `${own}/peer`,
      peerKey: `${own}/peer-key`,
    },
    networkConfig: { parameter: '/etcd/network' },
    dataDevice: '/dev/sdf',
    snapshots: { bucket: 'snapshots', prefix: 'etcd' },
  };
}

function parameter(name: string, value: string): void {
  const path = join(cloud, 'ssm', name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, value);
}

async function makeCertificates(): Promise<void> {
  const authority = async (who: string) => {
    const made = await issueAuthority({ stack: 'test', commonName: `test ${who}`, validDays: 1 });
    parameter(`/etcd/${who}-ca`, made.certificate);
    return made;
  };
  const clients = await authority('client');
  const peers = await authority('peer');
  const issue = async (name: string, by: typeof clients, commonName: string, address?: string) => {
    const { certificate, key } = await issueCertificate({
      stack: 'test',
      commonName,
      usages: address === undefined ? ['client'] : ['server', 'client'],
      dnsNames: [],
      ipAddresses: address === undefined ? [] : [address],
      validDays: 1,
      renewDays: 0,
      authorityCertificate: by.certificate,
      authorityKey: by.key,
    });
    parameter(name, certificate);
    parameter(`${name}-key`, key);
  };
  await issue('/etcd/admin', clients, 'root');
  await issue('/node/flanneld', clients, 'flanneld');
  for (const i of [0, 1, 2]) {
    await issue(`/etcd/etcd-${i}/server`, clients, `etcd-${i}`, addressOf(i));
    await issue(`/etcd/etcd-${i}/peer`, peers, ETCD_PEER_NAME, addressOf(i));
  }
}

function makeNetwork(): void {
  sh('ip', 'netns', 'add', `${id}-vpc`);
  sh('ip', '-n', `${id}-vpc`, 'link', 'add', 'vpc0', 'type', 'bridge');
  sh('ip', '-n', `${id}-vpc`, 'link', 'set', 'vpc0', 'up');
  for (const i of [0, 1, 2]) {
    const netns = `${id}-${i}`;
    sh('ip', 'netns', 'add', netns);
    sh('ip', '-n', netns, 'link', 'set', 'lo', 'up');
    sh('ip', '-n', netns, 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', `p${i}`, 'netns', `${id}-vpc`);
    sh('ip', '-n', `${id}-vpc`, 'link', 'set', `p${i}`, 'master', 'vpc0', 'up');
    sh('ip', '-n', netns, 'address', 'add', `${addressOf(i)}/24`, 'dev', 'eth0');
    sh('ip', '-n', netns, 'link', 'set', 'eth0', 'up');
  }
}

/** As a node does, with its certificate or another one; undefined when etcd refuses. */
function etcdctl(credentials: string, ...args: string[]): string | undefined {
  const ssm = (name: string) => join('/srv/aws/ssm', name);
  const flags = ['--cacert', ssm('/etcd/client-ca'), '--command-timeout', '3s', '--dial-timeout', '3s'];
  const own = ['--cert', ssm(credentials), '--key', ssm(`${credentials}-key`)];
  const endpoint = ['--endpoints', `https://${addressOf(0)}:2379`];
  const ran = members[0]!.run('etcdctl', ...flags, ...endpoint, ...own, ...args);
  return ran.status === 0 ? ran.stdout.trim() : undefined;
}

/** The nodes that EC2 knows of. */
const instances = (lines: readonly string[]) =>
  writeFileSync(join(cloud, 'instances'), lines.map((line) => `${line}\n`).join(''));

const idOf = (name: string) =>
  new RegExp(`^(\\w+), started, ${name},`, 'm').exec(members[0]!.ctl('member', 'list'))?.[1];
const configured = () => members[0]!.ctl('get', '--print-value-only', CONFIG);

beforeAll(async () => {
  const { makeEtcdArtifact } = await import('../../tools/build/etcd.ts');
  artifact = await makeEtcdArtifact(ROOT, { output: join(directory, 'artifact') }, process.env);
  mkdirSync(join(cloud, 's3/artifacts'), { recursive: true });
  sh('cp', artifact.file, join(cloud, 's3/artifacts/etcd.tar.gz'));
  await makeCertificates();
  parameter('/etcd/network', NETWORK);
  makeNetwork();
  for (const i of [0, 1, 2]) {
    members.push(new CloudMember(join(directory, `etcd-${i}`), `${id}-${i}`, cloud, userDataOf(i)));
  }
});

afterAll(() => {
  for (const member of members) member.terminate();
  for (const name of ['0', '1', '2', 'vpc']) sh('ip', 'netns', 'delete', `${id}-${name}`);
  rmSync(directory, { recursive: true, force: true });
});

test('three machines found a cluster, the first ones without waiting for the last', () => {
  for (const member of members) {
    member.launch();
    expect(member.boot()).toMatchObject({ status: 0 });
    expect(member.flannelEtcd('wait', 'forming')).toMatchObject({ status: 0 });
  }
  for (const member of members) expect(member.flannelEtcd('settle')).toMatchObject({ status: 0 });
  expect(members[0]!.ctl('member', 'list').match(/started/g)).toHaveLength(3);
  expect(readdirSync(join(cloud, 's3/snapshots/etcd'))).toEqual(['formed']);
  expect(configured()).toBe(`${NETWORK}\n`);
});

describe('who may what', () => {
  test('a node reads the network and writes subnets, and nothing else', () => {
    const subnet = '/coreos.com/network/subnets/10.244.1.0-24';
    expect(etcdctl('/node/flanneld', 'get', '--print-value-only', CONFIG)).toBe(NETWORK);
    expect(etcdctl('/node/flanneld', 'put', subnet, '{}')).toBe('OK');
    expect(etcdctl('/node/flanneld', 'get', '--prefix', '--keys-only', '/coreos.com/network/subnets')).toBe(subnet);
    expect(etcdctl('/node/flanneld', 'del', subnet)).toBe('1');
    expect(etcdctl('/node/flanneld', 'put', CONFIG, '{}')).toBeUndefined();
    expect(etcdctl('/node/flanneld', 'put', '/other', '{}')).toBeUndefined();
    expect(etcdctl('/node/flanneld', 'get', '/other')).toBeUndefined();
    expect(etcdctl('/node/flanneld', 'user', 'list')).toBeUndefined();
  });

  test("a member's certificate opens nothing for clients, and no name of a server is a user", () => {
    expect(etcdctl('/etcd/etcd-1/peer', 'get', CONFIG)).toBeUndefined();
    expect(etcdctl('/etcd/etcd-1/server', 'get', CONFIG)).toBeUndefined();
  });

  test('keys are read by whom they are for, and by nobody else', () => {
    const { stdout } = members[0]!.run('bash', '-c', 'stat --format "%n %U %a" /etc/etcd/tls/*.key');
    expect(stdout.trim().split('\n')).toEqual([
      '/etc/etcd/tls/admin.key root 400',
      '/etc/etcd/tls/peer.key etcd 400',
      '/etc/etcd/tls/server.key etcd 400',
    ]);
  });
});

test('settle does nothing the second time, and writes another network configuration', () => {
  const revision = () => /"mod_revision":(\d+)/.exec(members[0]!.ctl('get', CONFIG, '--write-out=json'))?.[1];
  const before = revision();
  expect(members[0]!.flannelEtcd('settle')).toMatchObject({ status: 0 });
  expect(revision()).toBe(before);
  parameter('/etcd/network', NETWORK.replace('udp', 'vxlan'));
  expect(members[0]!.flannelEtcd('settle')).toMatchObject({ status: 0 });
  expect(configured()).toBe(`${NETWORK.replace('udp', 'vxlan')}\n`);
});

test('settle waits until nodes have followed another backend, fails if one does not, and does not wait for one that is gone', () => {
  const lease = '/coreos.com/network/subnets/10.244.1.0-24';
  const udp = '{"PublicIP":"10.64.0.16","PublicIPv6":null}';
  const vxlan = '{"PublicIP":"10.64.0.16","PublicIPv6":null,"BackendType":"vxlan"}';
  /** The node follows 2 s after the config is written, or never. */
  instances(['10.64.0.16\ti-1', '10.64.0.17\ti-2']);
  const settle = (type: string, before: string, after?: string) => {
    members[0]!.ctl('put', lease, before);
    parameter('/etcd/network', NETWORK.replace('udp', type));
    const ctl = '/opt/etcd/current/flannel-etcd';
    const node = after === undefined ? 'true' : `{ sleep 2; ${ctl} ctl put ${lease} '${after}'; echo node; }`;
    const script = `${node} & FOLLOW_SECONDS=${after === undefined ? 2 : 30} ${ctl} settle && echo settled; wait`;
    const { status, stdout, stderr } = members[0]!.run('bash', '--norc', '-c', script);
    return { status, stderr, order: stdout.match(/^(node|settled)$/gm) };
  };
  expect(settle('udp', vxlan, udp)).toMatchObject({ status: 0, stderr: '', order: ['node', 'settled'] });
  expect(settle('vxlan', udp, vxlan)).toMatchObject({ status: 0, stderr: '', order: ['node', 'settled'] });
  const stuck = 'nodes do not follow the backend udp, look at their flanneld: 10.64.0.16\ti-1\n';
  expect(settle('udp', vxlan)).toMatchObject({ order: null, stderr: expect.stringContaining(stuck) });
  // The config is written by now, and the node is as before.
  expect(settle('udp', vxlan)).toMatchObject({ order: null, stderr: expect.stringContaining(stuck) });
  instances(['10.64.0.160\ti-3']);
  expect(settle('vxlan', udp)).toMatchObject({ status: 0, order: ['settled'] });
  members[0]!.ctl('del', lease);
});

test('the leases of nodes that died are given back, and of nobody else', () => {
  const lease = (i: number) => `/coreos.com/network/subnets/10.244.${i}.0-24`;
  const put = (i: number, address: string) =>
    members[0]!.ctl('put', lease(i), `{"PublicIP":"${address}","PublicIPv6":null}`);
  const left = () =>
    members[0]!.ctl('get', '--prefix', '--keys-only', '/coreos.com/network/subnets/').match(/10[.]244[.]\d+/g);
  const sweep = () => members.map((member) => member.flannelEtcd('sweep'));
  put(1, '10.64.0.21');
  put(2, '10.64.0.2');
  put(3, '10.64.0.23');
  put(4, '192.168.7.7'); // of a node from elsewhere
  instances(['10.64.0.21\ti-1', '10.64.0.2\ti-2', '10.64.0.23\ti-3']);
  for (const ran of sweep()) expect(ran).toMatchObject({ status: 0, stdout: '' });
  expect(readFileSync(join(cloud, 'filters'), 'utf8')).toContain('Name=tag:flannel:stack,Values=test');
  instances(['10.64.0.21\ti-1', '10.64.0.23\ti-33']); // i-2 has died, and another one has the address of i-3
  expect(
    sweep()
      .map(({ status, stdout }) => `${status}${stdout}`)
      .sort(),
  ).toEqual(['0', '0', '0i-2 with 10.64.0.2 is gone: gave back 10.244.2.0-24\n']);
  expect(left()).toEqual(['10.244.1', '10.244.3', '10.244.4']);
  expect(sweep().map(({ stdout }) => stdout)).toEqual(['', '', '']);
  // Who cannot ask gives nothing back.
  rmSync(join(cloud, 'instances'));
  for (const ran of sweep()) expect(ran.status).not.toBe(0);
  expect(left()).toEqual(['10.244.1', '10.244.3', '10.244.4']);
  for (const i of [1, 3, 4]) members[0]!.ctl('del', lease(i));
});

test('a new instance with the volume of the old one is the same member', () => {
  const before = idOf('etcd-1');
  members[1]!.terminate();
  members[1]!.launch();
  expect(members[1]!.boot()).toMatchObject({ status: 0 });
  expect(members[1]!.flannelEtcd('wait')).toMatchObject({ status: 0 });
  expect(idOf('etcd-1')).toBe(before);
});

test('a member that has lost its volume joins as another one', () => {
  const before = idOf('etcd-2');
  members[2]!.terminate();
  members[2]!.loseVolume();
  members[2]!.launch();
  expect(members[2]!.boot()).toMatchObject({ status: 0 });
  expect(members[2]!.flannelEtcd('wait')).toMatchObject({ status: 0 });
  expect(idOf('etcd-2')).not.toBe(before);
  expect(members[0]!.ctl('member', 'list').trim().split('\n')).toHaveLength(3);
  expect(members[2]!.ctl('get', '--print-value-only', CONFIG)).toBe(configured());
});

test('a corrupt artifact is refused, and etcd goes on with the one before', () => {
  const other = { ...userDataOf(1), artifact: { bucket: 'artifacts', key: 'other', sha256: 'c'.repeat(64) } };
  writeFileSync(join(cloud, 's3/artifacts/other'), 'no archive');
  members[1]!.update(other);
  const ran = members[1]!.boot();
  expect(ran).toMatchObject({
    status: 1,
    stderr: expect.stringContaining(`does not have the sha256 ${'c'.repeat(64)}`),
  });
  expect(members[1]!.flannelEtcd('wait')).toMatchObject({ status: 0 });
  members[1]!.update(userDataOf(1));
  expect(members[1]!.boot()).toMatchObject({ status: 0 });
});

test('one of the members, the leader, puts snapshots into the bucket', () => {
  members[0]!.ctl('put', '/before', 'snapshot');
  for (const member of members) expect(member.flannelEtcd('snapshot')).toMatchObject({ status: 0 });
  const { stdout } = members[0]!.flannelEtcd('snapshots');
  expect(stdout).toMatch(/^etcd\/snapshots\/\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ-etcd-[012]\.db\n$/);
  members[0]!.ctl('put', '/after', 'snapshot');
});

describe('when all data is lost', () => {
  test('a member founds no second cluster', () => {
    for (const member of members) member.terminate();
    for (const member of members) {
      member.loseVolume();
      member.launch();
      expect(member.boot()).toMatchObject({ status: 1, stderr: expect.stringContaining('flannel-etcd restore') });
      expect(member.run('systemctl', 'is-active', 'etcd.service').status).not.toBe(0);
    }
  });

  test('a snapshot brings it back, users and members included', () => {
    const key = members[0]!.flannelEtcd('snapshots').stdout.trim();
    for (const member of members) expect(member.flannelEtcd('restore', key)).toMatchObject({ status: 0 });
    for (const member of members) expect(member.run('systemctl', 'start', 'etcd.service')).toMatchObject({ status: 0 });
    for (const member of members) expect(member.flannelEtcd('wait')).toMatchObject({ status: 0 });
    expect(members[1]!.ctl('get', '--print-value-only', '/before')).toBe('snapshot\n');
    expect(members[1]!.ctl('get', '--print-value-only', '/after')).toBe('');
    expect(etcdctl('/node/flanneld', 'put', CONFIG, '{}')).toBeUndefined();
    expect(members[2]!.boot()).toMatchObject({ status: 0 });
  });
});

test('a single member becomes three', () => {
  for (const member of members) {
    member.terminate();
    member.loseVolume();
  }
  rmSync(join(cloud, 's3/snapshots'), { recursive: true });
  const start = (i: number, count: number) => {
    members[i]!.launch(userDataOf(i, count));
    expect(members[i]!.boot()).toMatchObject({ status: 0 });
    expect(members[i]!.flannelEtcd('wait')).toMatchObject({ status: 0 });
  };
  start(0, 1);
  expect(members[0]!.flannelEtcd('settle')).toMatchObject({ status: 0 });
  const before = idOf('etcd-0');
  members[0]!.terminate();
  for (const i of [0, 1, 2]) start(i, 3);
  expect(idOf('etcd-0')).toBe(before);
  expect(members[0]!.ctl('member', 'list').match(/started/g)).toHaveLength(3);
  expect(members[2]!.ctl('get', '--print-value-only', CONFIG)).toBe(configured());
});

describe('the data volume', () => {
  const image = join(directory, 'volume.img');
  let device: string;
  beforeAll(() => {
    sh('truncate', '--size', '64M', image);
    device = sh('losetup', '--find', '--show', image).trim();
    members[0]!.terminate();
    members[0]!.launch({ ...userDataOf(0), dataDevice: device });
    expect(members[0]!.boot()).toMatchObject({ status: 0 });
    expect(members[0]!.run('systemctl', 'stop', 'etcd.service')).toMatchObject({ status: 0 });
    members[0]!.run('umount', '/var/lib/etcd');
  });
  afterAll(() => {
    members[0]!.run('umount', '/var/lib/etcd');
    sh('losetup', '--detach', device);
  });
  const mounted = () => members[0]!.run('findmnt', '--noheadings', '--output', 'SOURCE', '/var/lib/etcd').stdout.trim();

  test('is left alone when it is neither blank nor ours', () => {
    sh('mkfs.ext4', '-q', '-L', 'somebody', device);
    expect(members[0]!.flannelEtcd('volume')).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('neither blank nor labelled flannel-etcd: it is left alone'),
    });
    expect(sh('blkid', '-p', '-s', 'LABEL', '-o', 'value', device).trim()).toBe('somebody');
    // Without a file system, and not blank either.
    sh('dd', 'if=/dev/zero', `of=${device}`, 'bs=1M', 'count=64', 'status=none');
    sh('bash', '-c', `echo data | dd of=${device} bs=1 seek=70000 status=none`);
    expect(members[0]!.flannelEtcd('volume')).toMatchObject({ status: 1 });
    expect(mounted()).toBe('');
  });

  test('is formatted when it is blank, and then mounted as it is', () => {
    sh('dd', 'if=/dev/zero', `of=${device}`, 'bs=1M', 'count=64', 'status=none');
    expect(members[0]!.flannelEtcd('volume')).toMatchObject({ status: 0 });
    expect(mounted()).toBe(device);
    members[0]!.run('touch', '/var/lib/etcd/kept');
    members[0]!.run('umount', '/var/lib/etcd');
    expect(members[0]!.flannelEtcd('volume')).toMatchObject({ status: 0 });
    expect(members[0]!.run('test', '-e', '/var/lib/etcd/kept')).toMatchObject({ status: 0 });
  });
});

test('keys are in no log', () => {
  const keys = ['/etcd/admin-key', '/etcd/etcd-0/server-key'].map((name) =>
    readFileSync(join(cloud, 'ssm', name), 'utf8'),
  );
  const logs = members.map((member) => member.log()).join('');
  expect(logs).toContain('etcd-0');
  for (const key of keys) expect(logs).not.toContain(key.split('\n')[1]);
});
