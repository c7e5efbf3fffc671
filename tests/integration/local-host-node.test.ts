import { spawn } from 'node:child_process';
import {
  appendFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { nodeBoot } from '../../infra/node/files.ts';
import { alive, inside, Lab, loadHost, type Resource, until } from './local-host-lab.ts';

jest.setTimeout(240_000);
const lab = new Lab(loadHost(), `fltest-n${process.pid}`);
afterAll(() => lab.clean());

const ping = (from: string, address: string) =>
  inside(lab.netns(from), 'ping', '-c1', '-W2', '-n', address) !== undefined;

describe('node', () => {
  let vpc: Resource;
  let machine: Resource;
  let staged: Resource;
  let node: Resource;
  const plan = () => {
    const { files, unit } = nodeBoot({
      root: lab.root('node-0'),
      etcdEndpoints: ['https://10.64.0.4:2379'],
      interface: 'eth0',
    });
    const [environment, ...others] = files;
    const told = {
      ...environment!,
      content: `${environment!.content}FLANNELD_DOUBLE_RELEASED=${lab.directory}/released\nFLANNELD_DOUBLE_SERVES=${lab.directory}/serves\n`,
    };
    return { machine: 'node-0', host: machine.id, files: [told, ...others], unit, serves };
  };
  const serves = { network: '{"Backend":{"Type":"udp"}}', podMtu: 1472 };
  /** What flanneld has followed. */
  const follow = (type: string, mtu: number, details: string[] = []) =>
    writeFileSync(`${lab.directory}/serves`, JSON.stringify({ network: { Backend: { Type: type } }, mtu, details }));
  const secretFiles = [{ path: `${lab.root('node-0')}/etc/flannel/tls/client.key`, mode: '0600', content: 'key' }];
  const status = () => lab.status('node-0', 'flanneld');
  beforeAll(async () => {
    follow('udp', 1472);
    vpc = await lab.vpc();
    machine = await lab.machine('node-0', '10.64.0.16');
    const one = lab.artifact('one');
    staged = await lab.resource('stagedArtifact', { machine: 'node-0', host: machine.id, ...one }).create();
    node = await lab.resource('node', { ...plan(), secretFiles, sha256: one.sha256, revision: '1' }).create();
  });
  afterAll(async () => {
    for (const resource of [node, staged, machine, vpc]) await resource.delete();
  });

  test('create() installs, starts and waits until it is ready', () => {
    expect(node.outs).toMatchObject({ podSubnet: '10.244.16.0/24', podMtu: 1472, drift: '' });
    expect(status()).toMatchObject({ ready: true, restarts: 0 });
    const current = `${lab.root('node-0')}/opt/flannel/current`;
    expect(readlinkSync(current)).toBe(node.inputs.sha256);
    expect(readFileSync(`${current}/version`, 'utf8')).toBe('one');
  });

  test('create() again leaves the running service alone', async () => {
    const { pid } = status();
    await node.create();
    expect(status().pid).toBe(pid);
  });

  test('the service runs in the machine and outside any session of ours', () => {
    const { pid, supervisor } = status();
    for (const process of [pid, supervisor.pid]) {
      expect(readlinkSync(`/proc/${process}/ns/net`)).not.toBe(readlinkSync('/proc/self/ns/net'));
      const [, session] = /^\d+ \(.*\) \S \d+ \d+ (\d+)/.exec(readFileSync(`/proc/${process}/stat`, 'utf8'))!;
      expect(Number(session)).toBe(process);
    }
  });

  test('the supervisor starts the service again', async () => {
    const { pid } = status();
    process.kill(pid, 'SIGKILL');
    await until(() => status().pid !== pid && status().ready);
    expect(await node.refresh()).toBe('');
  });

  test('a dead supervisor is replaced without touching the service', async () => {
    const { pid, supervisor } = status();
    process.kill(supervisor.pid, 'SIGKILL');
    await until(() => !alive(supervisor.pid));
    expect(await node.refresh()).toBe('flanneld on node-0 has no supervisor');
    await node.update();
    expect(status()).toMatchObject({ pid, ready: true });
    expect(status().supervisor.pid).not.toBe(supervisor.pid);
  });

  test.each([
    [
      'a changed file',
      () => appendFileSync(`${lab.root('node-0')}/etc/flannel/flanneld.env`, 'X=1\n'),
      /flanneld\.env was changed/,
    ],
    ['a missing key', () => rmSync(`${lab.root('node-0')}/etc/flannel/tls/client.key`), /client\.key is missing/],
  ])('read() finds %s, and update() brings it back', async (_, damage, drift) => {
    damage();
    const found = await node.refresh();
    expect(found).toMatch(drift);
    await node.update();
    expect(await node.refresh()).toBe('');
  });

  test('a lost artifact is found, brought again and changed over to', async () => {
    rmSync(`${lab.root('node-0')}/opt/flannel`, { recursive: true });
    expect(await staged.refresh()).toBeUndefined();
    expect(await node.refresh()).toMatch(/^node-0 has lost artifact/);
    await staged.create();
    await node.update();
    expect(await node.refresh()).toBe('');
  });

  test('another artifact is staged without touching the service, and then changed over to', async () => {
    const { pid } = status();
    const before = node.inputs.sha256;
    const two = lab.artifact('two');
    await staged.update({ ...two });
    expect(status()).toMatchObject({ pid, ready: true });
    expect(await node.diff({ sha256: two.sha256 })).toMatchObject({ changes: true, replaces: [] });
    await node.update({ sha256: two.sha256 });
    expect(status().pid).not.toBe(pid);
    expect(alive(pid)).toBe(false);
    expect(readdirSync(`${lab.root('node-0')}/opt/flannel`).sort()).toEqual(['current', before, two.sha256].sort());
  });

  test('an artifact that cannot be fetched is reported before any node is changed', async () => {
    const { pid } = status();
    const { url, sha256 } = staged.inputs;
    const wrong = { url: `file://${lab.directory}/none.tar.gz`, sha256: '0'.repeat(64) };
    await expect(staged.update(wrong)).rejects.toThrow(/^Cannot bring file:.*none\.tar\.gz to node-0: curl: \(37\)/);
    expect(status()).toMatchObject({ pid, ready: true });
    await staged.update({ url, sha256 });
  });

  test('another backend is waited for, and no process is ended for it', async () => {
    const { pid } = status();
    const changes = { serves: { network: '{"Backend":{"Type":"vxlan"}}', podMtu: 1450 } };
    const updated = node.update(changes);
    let ended = false;
    void updated.then(() => {
      ended = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(ended).toBe(false);
    follow('vxlan', 1450);
    await updated;
    expect(node.outs).toMatchObject({ podMtu: 1450, drift: '' });
    expect(status().pid).toBe(pid);
  });

  test('a node that cannot follow says why, and goes on', async () => {
    const { pid } = status();
    const sentence = 'the network config has changed: this node cannot follow it: no module for it';
    follow('vxlan', 1450, [`network config: ${sentence}`]);
    const changes = { serves: { network: '{"Backend":{"Type":"ipip"}}', podMtu: 1480 } };
    await expect(node.update(changes)).rejects.toThrow(`flanneld on node-0 does not follow: ${sentence}`);
    expect(status()).toMatchObject({ pid, ready: true });
    follow('udp', 1472);
    await node.update({ serves });
    expect(node.outs).toMatchObject({ podMtu: 1472, drift: '' });
  });

  test('what it reads at its start alone restarts the service', async () => {
    const { pid } = status();
    await node.update({ revision: '2' });
    expect(status().pid).not.toBe(pid);
    expect(await node.update({ revision: '2' })).toBe(false);
  });

  test('a service that does not start is reported with the end of its log, and the next configuration repairs it', async () => {
    const files = node.inputs.files as { path: string; content: string }[];
    const failing = files.map((file) =>
      file.path.endsWith('.env') ? { ...file, content: `${file.content}FLANNELD_DOUBLE_FAIL=no reason\n` } : file,
    );
    const error = await node.update({ files: failing }).then(
      () => undefined,
      (reason) => reason as Error & { id: string },
    );
    expect(error?.message).toMatch(
      /^flanneld on node-0 does not come up: it ended 3 times, the last time with exit code 1\./,
    );
    expect(error?.message).toContain('the double was told to fail: no reason');
    expect(error?.message).not.toContain('double runs on'); // of the life before
    expect(error?.id).toBe(machine.id);
    expect(await node.diff()).toMatchObject({ changes: true });
    await node.update({ files });
    expect(await node.refresh()).toBe('');
  });

  describe('pod', () => {
    let pods: Resource[];
    const address = (i: number) => pods[i]!.outs.address as string;
    const inputs = (i: number) => ({
      pod: `pod-0-${i}`,
      node: 'node-0',
      host: node.id,
      podSubnet: node.outs.podSubnet,
      podMtu: node.outs.podMtu,
    });
    beforeAll(async () => {
      pods = await Promise.all([0, 1].map((i) => lab.resource('pod', inputs(i)).create()));
    });
    afterAll(async () => {
      for (const pod of pods) await pod.delete();
    });

    test('create() connects pods through the plugin', () => {
      expect(address(0)).toMatch(/^10\.244\.16\.\d+$/);
      expect(address(0)).not.toBe(address(1));
      expect(pods[0]!.outs.netns).toBe(lab.netns('pod-0-0'));
      expect(ping('pod-0-0', address(1))).toBe(true);
      expect(ping('pod-0-0', '10.244.16.1')).toBe(true);
    });

    test('the result is remembered as libcni does', () => {
      const file = `${lab.root('node-0')}/var/lib/cni/results/flannel-flannel.${lab.stack}.pod-0-0-eth0`;
      expect(JSON.parse(readFileSync(file, 'utf8')).ips[0].address).toBe(`${address(0)}/24`);
    });

    test('a pod whose interface is lost is made anew', async () => {
      inside(lab.netns('pod-0-0'), 'ip', 'link', 'del', 'eth0');
      expect(await pods[0]!.refresh()).toMatch(/has no eth0/);
      await pods[0]!.update();
      expect(ping('pod-0-0', address(1))).toBe(true);
    });

    test('a pod in good order stays as it is', async () => {
      const before = address(1);
      expect(await pods[1]!.refresh()).toBe('');
      expect(await pods[1]!.update()).toBe(false);
      Object.assign(pods[1]!.outs, { drift: 'somebody thought so' });
      await pods[1]!.update();
      expect(address(1)).toBe(before);
    });

    test('another MTU is given to a pod that runs, and to its bridge when all have it', async () => {
      const before = [address(0), address(1)];
      const mtu = (netns: string, ...link: string[]) =>
        inside(lab.netns(netns), 'ip', '-o', 'link', 'show', ...link)!
          .trim()
          .split('\n')
          .map((line) => Number(/mtu (\d+)/.exec(line)![1]))
          .sort((a, b) => a - b);
      const mtus = () => [
        ...mtu('pod-0-0', 'eth0'),
        ...mtu('pod-0-1', 'eth0'),
        ...mtu('node-0', 'master', 'cni0'),
        ...mtu('node-0', 'cni0'),
      ];
      const sleeper = spawn('nsenter', [`--net=${lab.netns('pod-0-0')}`, 'sleep', '100']);
      await pods[0]!.update({ podMtu: 1450 });
      expect(mtus()).toEqual([1450, 1472, 1450, 1472, 1450]);
      await pods[1]!.update({ podMtu: 1450 });
      expect(mtus()).toEqual([1450, 1450, 1450, 1450, 1450]);
      await pods[1]!.update({ podMtu: 1472 });
      expect(mtus()).toEqual([1450, 1472, 1450, 1472, 1450]);
      expect(await pods[0]!.refresh()).toBe('');
      await pods[0]!.update({ podMtu: 1472 });
      expect(mtus()).toEqual([1472, 1472, 1472, 1472, 1472]);
      inside(lab.netns('pod-0-1'), 'ip', 'link', 'set', 'eth0', 'mtu', '1400');
      expect(await pods[1]!.refresh()).toMatch(/pod-0-1 has MTU 1400 instead of 1472$/);
      await pods[1]!.update();
      expect(mtus()).toEqual([1472, 1472, 1472, 1472, 1472]);
      expect([address(0), address(1)]).toEqual(before);
      expect(ping('pod-0-0', address(1))).toBe(true);
      expect(readlinkSync(`/proc/${sleeper.pid}/ns/net`)).toBe(`net:[${statSync(lab.netns('pod-0-0')).ino}]`);
      sleeper.kill('SIGKILL');
    });

    test('a failed ADD is reported with the message of the plugin, and leaves no address behind', async () => {
      const pod = lab.resource('pod', { ...inputs(7), pod: 'pod-0-7' });
      const list = `${lab.root('node-0')}/etc/cni/net.d/10-flannel.conflist`;
      const good = readFileSync(list, 'utf8');
      const bad = JSON.parse(good);
      bad.plugins[0].delegate.vlan = 9999;
      writeFileSync(list, JSON.stringify(bad));
      await expect(pod.create()).rejects.toMatchObject({
        message: expect.stringMatching(/^Cannot ADD flannel\..*pod-0-7 by flannel: invalid VLAN ID 9999/),
        id: `flannel.${lab.stack}.pod-0-7`,
      });
      writeFileSync(list, good);
      await pod.delete();
      expect(
        readdirSync(`${lab.root('node-0')}/var/lib/cni/networks/flannel`).filter((name) => name.startsWith('10.')),
      ).toHaveLength(2);
    });

    test('delete() gives the address back and may be called again', async () => {
      await pods[1]!.delete();
      await pods[1]!.delete();
      expect(await pods[1]!.refresh()).toBeUndefined();
      expect(existsSync(`${lab.root('node-0')}/var/lib/cni/networks/flannel/${address(1)}`)).toBe(false);
    });
  });

  test('delete() stops the service, gives the lease back and leaves no file', async () => {
    const { pid, supervisor } = status();
    await node.delete();
    await node.delete();
    await staged.delete();
    expect([alive(pid), alive(supervisor.pid)]).toEqual([false, false]);
    expect(readFileSync(`${lab.directory}/released`, 'utf8')).toBe('https://10.64.0.4:2379');
    expect(existsSync(lab.root('node-0'))).toBe(false);
    expect(await node.refresh()).toBeUndefined();
  });
});
