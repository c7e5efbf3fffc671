import { existsSync, readFileSync, rmSync } from 'node:fs';
import { etcdBoot, etcdClientUrl, etcdPeerUrl, etcdSecrets } from '../../infra/node/files.ts';
import { inside, Lab, loadHost, type Resource, until } from './local-host-lab.ts';

jest.setTimeout(240_000);
const lab = new Lab(loadHost(), `fltest-e${process.pid}`);
afterAll(() => lab.clean());

const addressOf = (i: number) => `10.64.0.${4 + i}`;
const plan = (count: number) =>
  Array.from({ length: count }, (_, i) => ({
    name: `etcd-${i}`,
    clientUrl: etcdClientUrl(addressOf(i)),
    peerUrl: etcdPeerUrl(addressOf(i)),
  }));

interface Pair {
  readonly certificate: string;
  readonly key: string;
}
let authority: Resource;
const machines: Resource[] = [];
const members: Resource[] = [];

async function issue(commonName: string, usages: string[], address?: string): Promise<Pair> {
  const certificate = await lab
    .resource('certificate', {
      commonName,
      usages,
      dnsNames: [],
      ipAddresses: address === undefined ? [] : [address],
      validDays: 1,
      renewDays: 0,
      authorityCertificate: authority.outs.certificate,
      authorityKey: authority.outs.key,
    })
    .create();
  return certificate.outs as unknown as Pair;
}

async function startMember(i: number, count: number): Promise<Resource> {
  const name = `etcd-${i}`;
  const root = lab.root(name);
  machines[i] ??= await lab.machine(name, addressOf(i));
  const [server, peer, admin] = await Promise.all([
    issue(name, ['server'], addressOf(i)),
    issue('etcd-peer', ['server', 'client'], addressOf(i)),
    issue('admin', ['client']),
  ]);
  const { files, unit } = etcdBoot({ root, name, address: addressOf(i) });
  const secretFiles = etcdSecrets(root, authority.outs.certificate as string, { server, peer, admin });
  members[i] = lab.resource('etcdMember', {
    machine: name,
    host: machines[i].id,
    files,
    unit,
    secretFiles,
    members: plan(count),
  });
  return members[i].create();
}

function etcdctl(i: number, credentials: string, ...args: string[]): string | undefined {
  const tls = `${lab.root(`etcd-${i}`)}/etc/etcd/tls`;
  const keys =
    credentials === 'none' ? [] : [`ETCDCTL_CERT=${tls}/${credentials}.crt`, `ETCDCTL_KEY=${tls}/${credentials}.key`];
  const env = [
    'ETCDCTL_API=3',
    `ETCDCTL_ENDPOINTS=${etcdClientUrl(addressOf(i))}`,
    `ETCDCTL_CACERT=${tls}/ca.crt`,
    ...keys,
  ];
  return inside(lab.netns(`etcd-${i}`), 'env', ...env, 'etcdctl', '--command-timeout=3s', '--dial-timeout=2s', ...args);
}

const memberNames = () =>
  (JSON.parse(etcdctl(0, 'admin', 'member', 'list', '--write-out=json')!).members as { name: string }[])
    .map(({ name }) => name)
    .sort();
const key = (value: string) =>
  lab.resource('etcdKey', {
    machine: 'etcd-0',
    host: machines[0]!.id,
    endpoints: plan(1).map(({ clientUrl }) => clientUrl),
    prefix: '/coreos.com/network',
    key: '/coreos.com/network/config',
    value,
  });

beforeAll(async () => {
  await lab.vpc();
  authority = await lab.resource('authority', { commonName: 'test CA', validDays: 1 }).create();
});

describe('an etcd cluster', () => {
  let config: Resource;

  test('of one member is ready when it is made', async () => {
    await startMember(0, 1);
    expect(await members[0]!.refresh()).toBe('');
    expect(lab.status('etcd-0', 'etcd')).toMatchObject({ ready: true });
  });

  test('lets in who has a certificate of the stack, and nobody else', async () => {
    expect(etcdctl(0, 'admin', 'put', 'a', 'b')).toContain('OK');
    expect(etcdctl(0, 'none', 'get', 'a')).toBeUndefined();
    const clientUrl = etcdClientUrl(addressOf(0)).replace('https', 'http');
    expect(
      inside(lab.netns('etcd-0'), 'curl', '--silent', '--fail', '--max-time', '2', `${clientUrl}/version`),
    ).toBeUndefined();
  });

  test('does not let a client act as a member', () => {
    const tls = `${lab.root('etcd-0')}/etc/etcd/tls`;
    const ask = (pair: string) =>
      inside(
        lab.netns('etcd-0'),
        ...[
          'curl',
          '--http1.1',
          '--silent',
          '--max-time',
          '2',
          '--cacert',
          `${tls}/ca.crt`,
          '--cert',
          `${tls}/${pair}.crt`,
        ],
        ...['--key', `${tls}/${pair}.key`, `${etcdPeerUrl(addressOf(0))}/members`],
      );
    expect(ask('peer')).toContain('etcd-0');
    expect(ask('admin')).toBeUndefined();
  });

  test('holds the network configuration, and gets it back when somebody deletes or changes it', async () => {
    config = await key('{"Network":"10.244.0.0/16"}').create();
    const read = () => etcdctl(0, 'admin', 'get', '/coreos.com/network/config', '--print-value-only')?.trim();
    expect(read()).toBe('{"Network":"10.244.0.0/16"}');
    expect(await config.refresh()).toBe('');
    etcdctl(0, 'admin', 'put', '/coreos.com/network/config', 'nonsense');
    expect(await config.refresh()).toBe('/coreos.com/network/config was changed');
    await config.update();
    expect(read()).toBe('{"Network":"10.244.0.0/16"}');
    etcdctl(0, 'admin', 'del', '/coreos.com/network/config');
    expect(await config.refresh()).toBeUndefined();
    const { generation } = config.outs;
    await config.create();
    expect(config.outs.generation).not.toBe(generation);
    const { generation: second } = config.outs;
    await config.update({ value: '{"Network":"10.245.0.0/16"}' });
    expect(read()).toBe('{"Network":"10.245.0.0/16"}');
    expect(config.outs.generation).toBe(second);
  });

  test('grows to three members without restarting the first', async () => {
    const { pid } = lab.status('etcd-0', 'etcd');
    await members[0]!.update({ members: plan(3) });
    for (const i of [1, 2]) await startMember(i, 3);
    expect(memberNames()).toEqual(['etcd-0', 'etcd-1', 'etcd-2']);
    expect(lab.status('etcd-0', 'etcd')).toMatchObject({ pid, ready: true });
    expect(etcdctl(2, 'admin', 'get', 'a', '--print-value-only')).toBe('b\n');
  });

  test('adds a member again that has lost its data', async () => {
    await members[1]!.refresh();
    const supervisor = lab.status('etcd-1', 'etcd').supervisor.pid;
    process.kill(supervisor, 'SIGTERM');
    await until(() => !existsSync(`/proc/${supervisor}`)); // it says that etcd has ended before it ends itself
    rmSync(`${lab.root('etcd-1')}/var/lib/etcd`, { recursive: true });
    expect(await members[1]!.refresh()).toMatch(/has no supervisor/);
    await members[1]!.update();
    expect(memberNames()).toEqual(['etcd-0', 'etcd-1', 'etcd-2']);
    expect(etcdctl(1, 'admin', 'get', 'a', '--print-value-only')).toBe('b\n');
  });

  test('keeps its data when a member is only restarted', async () => {
    const { pid } = lab.status('etcd-2', 'etcd');
    process.kill(pid, 'SIGKILL');
    await until(() => lab.status('etcd-2', 'etcd').ready && lab.status('etcd-2', 'etcd').pid !== pid);
    expect(await members[2]!.refresh()).toBe('');
    expect(etcdctl(2, 'admin', 'get', 'a', '--print-value-only')).toBe('b\n');
  });

  test('shrinks to one member again, which goes on alone', async () => {
    for (const i of [2, 1]) {
      await members[i]!.delete();
      expect(existsSync(lab.root(`etcd-${i}`))).toBe(false);
    }
    expect(memberNames()).toEqual(['etcd-0']);
    await members[0]!.update({ members: plan(1) });
    expect(etcdctl(0, 'admin', 'put', 'a', 'c')).toContain('OK');
  });

  test('can be removed with everything in it, in any order and more than once', async () => {
    await members[0]!.delete();
    await members[0]!.delete();
    await config.delete();
    expect(await config.refresh()).toBeUndefined();
  });

  test('of three members forms at once, one after the other', async () => {
    for (const i of [0, 1, 2]) await startMember(i, 3);
    expect(readFileSync(`${lab.root('etcd-0')}/etc/etcd/initial.env`, 'utf8')).toContain('STATE=new');
    await until(() => lab.status('etcd-0', 'etcd').ready);
    expect(memberNames()).toEqual(['etcd-0', 'etcd-1', 'etcd-2']);
    for (const i of [2, 1, 0]) await members[i]!.delete();
  });
});
