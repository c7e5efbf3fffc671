import { spawn } from 'node:child_process';
import { existsSync, readlinkSync } from 'node:fs';
import { deleteNetns } from '@flannel-ts/linux/netns';
import { nodeBoot } from '../../infra/node/files.ts';
import { alive, inside, Lab, loadHost, type Resource, UNKNOWN, until } from './local-host-lab.ts';

jest.setTimeout(240_000);
const lab = new Lab(loadHost(), `fltest-${process.pid}`);
afterAll(() => lab.clean());

const ping = (from: string, address: string) =>
  inside(lab.netns(from), 'ping', '-c1', '-W2', '-n', address) !== undefined;

describe('vpc and machine', () => {
  let vpc: Resource;
  let machines: Resource[];
  beforeAll(async () => {
    vpc = await lab.vpc();
    machines = await Promise.all([lab.machine('node-0', '10.64.0.16'), lab.machine('node-1', '10.64.31.254')]);
  });
  afterAll(async () => {
    for (const machine of machines) await machine.delete();
    await vpc.delete();
  });

  test('create() connects machines with each other and with the gateway', () => {
    expect(ping('node-0', '10.64.31.254')).toBe(true);
    expect(ping('node-1', '10.64.0.1')).toBe(true);
    expect(inside(lab.netns('node-0'), 'ip', 'route', 'show', 'default')).toContain('via 10.64.0.1 dev eth0');
    expect(inside(lab.netns('node-0'), 'cat', '/proc/sys/net/ipv4/ip_forward')).toBe('1\n');
  });

  test('create() may be called again, and changes nothing then', async () => {
    const links = () => [
      inside(lab.netns('vpc'), 'ip', '-br', 'link'),
      inside(lab.netns('node-0'), 'ip', '-br', 'link'),
    ];
    const before = links();
    await vpc.create();
    await machines[0]!.create();
    expect(links()).toEqual(before);
  });

  test('read() finds everything in order', async () => {
    expect(await Promise.all([vpc, ...machines].map((resource) => resource.refresh()))).toEqual(['', '', '']);
  });

  test.each([
    ['its interface is deleted', 'node-0', ['link', 'del', 'eth0'], /not connected/],
    ['its interface is down', 'node-0', ['link', 'set', 'eth0', 'down'], /eth0 is down/],
    ['its address is lost', 'node-0', ['address', 'flush', 'dev', 'eth0'], /has not the address 10\.64\.0\.16\/19/],
    ['its default route is lost', 'node-0', ['route', 'del', 'default'], /no default route by 10\.64\.0\.1/],
    ['its port leaves the bridge', 'vpc', ['link', 'set', 'p0a400010', 'nomaster'], /not in the VPC's bridge/],
    ['its port has another MTU', 'vpc', ['link', 'set', 'p0a400010', 'mtu', '1400'], /MTU 1400 instead of 1500/],
  ])('a machine is repaired when %s', async (_, part, command, drift) => {
    expect(inside(lab.netns(part), 'ip', ...command)).toBeDefined();
    expect(await machines[0]!.refresh()).toMatch(drift);
    expect(await machines[0]!.update()).toBe(true);
    expect(await machines[0]!.refresh()).toBe('');
    expect(ping('node-0', '10.64.31.254')).toBe(true);
  });

  test('a VPC is repaired when its bridge is deleted, and its machines after it', async () => {
    inside(lab.netns('vpc'), 'ip', 'link', 'del', 'vpc0');
    expect(await vpc.refresh()).toBe('Bridge vpc0 is missing');
    for (const machine of machines) expect(await machine.refresh()).toMatch(/not in the VPC's bridge/);
    for (const resource of [vpc, ...machines]) await resource.update();
    expect(ping('node-0', '10.64.31.254')).toBe(true);
  });

  test('read() finds that a namespace has gone, and create() makes it again', async () => {
    expect(lab.host.listLeftovers(lab.stack)).toContain(`namespace flannel.${lab.stack}.node-0`);
    deleteNetns(lab.netns('node-0'));
    expect(await machines[0]!.refresh()).toBeUndefined();
    await machines[0]!.create();
    expect(ping('node-0', '10.64.31.254')).toBe(true);
  });

  test('a machine that replaces another is found at once', async () => {
    expect(ping('node-1', '10.64.0.16')).toBe(true);
    await machines[0]!.delete();
    await machines[0]!.create();
    expect(ping('node-1', '10.64.0.16')).toBe(true);
  });

  test('update() changes the MTU in place', async () => {
    expect((await vpc.diff({ mtu: 1400 })).replaces).toEqual([]);
    for (const resource of [vpc, ...machines]) await resource.update({ mtu: 1400 });
    expect(inside(lab.netns('node-0'), 'ip', 'link', 'show', 'eth0')).toContain('mtu 1400');
    expect(inside(lab.netns('vpc'), 'ip', 'link', 'show', 'vpc0')).toContain('mtu 1400');
    for (const resource of [vpc, ...machines]) await resource.update({ mtu: 1500 });
  });

  test('diff() replaces a machine with another address or in another VPC', async () => {
    const replaced = { changes: true, deleteBeforeReplace: true };
    await expect(machines[0]!.diff({ address: '10.64.0.17' })).resolves.toEqual({ ...replaced, replaces: ['address'] });
    await expect(machines[0]!.diff({ vpc: UNKNOWN })).resolves.toEqual({ ...replaced, replaces: ['vpc'] });
  });

  test('delete() ends what runs on the machine and leaves no port', async () => {
    const machine = await lab.machine('node-9', '10.64.0.25');
    const child = spawn('nsenter', [`--net=${lab.netns('node-9')}`, 'sleep', '1000'], { stdio: 'ignore' });
    await until(() => readlinkSync(`/proc/${child.pid}/exe`).endsWith('/sleep'));
    await machine.delete();
    await machine.delete();
    await until(() => child.signalCode !== null);
    expect(existsSync(lab.netns('node-9'))).toBe(false);
    expect(inside(lab.netns('vpc'), 'ip', 'link', 'show', 'p0a400019')).toBeUndefined();
  });
});

describe('artifact', () => {
  const stored = (version: string) => {
    const { url, sha256 } = lab.artifact(version);
    return lab.resource('artifact', { sha256, file: 'flannel.tar.gz', source: url.slice('file://'.length) });
  };
  const contents = (resource: Resource) => existsSync((resource.outs.url as string).slice('file://'.length));

  test('is kept where nodes can fetch it', async () => {
    const artifact = await stored('one').create();
    expect(contents(artifact)).toBe(true);
    expect(await artifact.refresh()).toBe('');
    expect(await artifact.diff({ source: '/elsewhere' })).toMatchObject({ changes: false });
    expect(await artifact.diff({ sha256: 'other' })).toMatchObject({ replaces: ['sha256'] });
    await artifact.delete();
    await artifact.delete();
    expect(await artifact.refresh()).toBeUndefined();
    expect(existsSync(`/var/lib/flannel-local/${lab.stack}`)).toBe(false);
  });

  test('is refused when it is not what its manifest says', async () => {
    const artifact = stored('one');
    artifact.inputs.sha256 = '0'.repeat(64);
    await expect(artifact.create()).rejects.toThrow(/has the sha256 .*, its manifest says 000/);
    await artifact.delete();
    expect(existsSync(`/var/lib/flannel-local/${lab.stack}`)).toBe(false);
  });

  test('stays when an earlier resource of the same archive is removed late', async () => {
    const earlier = await stored('one').create();
    const later = await stored('one').create();
    await earlier.delete();
    expect(contents(later)).toBe(true);
    await later.delete();
    expect(contents(later)).toBe(false);
  });
});

describe('sweep()', () => {
  test('removes everything of one stack, whatever the state says, and nothing of a stack with a longer name', async () => {
    const [mine, other] = ['a', 'a-b'].map((suffix) => new Lab(lab.host, `${lab.stack}-${suffix}`)) as [Lab, Lab];
    try {
      for (const each of [mine, other]) {
        await each.vpc();
        const { id } = await each.machine('node-0', '10.64.0.16');
        const { files, unit } = nodeBoot({ root: each.root('node-0'), etcdEndpoints: [], interface: 'eth0' });
        const one = each.artifact('one');
        await each.resource('stagedArtifact', { machine: 'node-0', host: id, ...one }).create();
        const serves = { network: '{"Backend":{"Type":"udp"}}', podMtu: 1472 };
        const what = { files, unit, secretFiles: [], sha256: one.sha256, revision: '', serves };
        await each.resource('node', { machine: 'node-0', host: id, ...what }).create();
      }
      const { pid, supervisor } = other.status('node-0', 'flanneld');
      expect(lab.host.listLeftovers(mine.stack).length).toBeGreaterThanOrEqual(5);
      await lab.host.sweep(mine.stack);
      expect(lab.host.listLeftovers(mine.stack)).toEqual([]);
      expect(other.status('node-0', 'flanneld')).toMatchObject({ pid, supervisor, ready: true });
      expect(alive(pid)).toBe(true);
    } finally {
      for (const each of [mine, other]) await each.clean();
    }
  });

  test('has nothing to do for a stack that is not there', async () => {
    await expect(lab.host.sweep(`${lab.stack}-none`)).resolves.toEqual([]);
  });
});
