/** Many plugins at once, plugins that die in the middle, and locks that stay: what a busy node does to us. */
import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { closeFd, flock, LOCK_EX, O_CREAT, O_RDONLY, openFile } from '@flannel-ts/linux/files';
import {
  addresses,
  type CniNode,
  compilePlugin,
  eachOnFreshNode,
  inside,
  link,
  NOTHING,
  type Outcome,
  pings,
} from './support/cni-plugin.ts';

const delay = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe('CNI plugins at once', () => {
  let node: CniNode;
  eachOnFreshNode(compilePlugin, (fresh) => {
    node = fresh;
  });

  const all = (command: string, pods: readonly string[]): Promise<Outcome[]> =>
    Promise.all(pods.map((pod) => node.start(command, { pod }).done));

  test('#38, #39 50 ADDs at once on a fresh node, then 50 DELs', async () => {
    const pods = Array.from({ length: 50 }, () => node.addPod());
    const added = await all('ADD', pods);
    expect(added.filter(({ code }) => code !== 0).map(({ stdout }) => stdout)).toEqual([]);
    expect(new Set(added.map(({ json }) => json.ips[0].address)).size).toBe(50);
    expect(new Set(added.map(({ json }) => json.interfaces[0].mac)).size).toBe(1);
    expect(addresses(node.host, 'cni0')).toEqual(['10.244.1.1/24']);
    expect(link(node.host, 'cni0')?.address).toBe(added[0]!.json.interfaces[0].mac);
    expect(node.reserved()).toHaveLength(50);
    expect(pings(pods[49]!, addresses(pods[0]!, 'eth0')[0]!.split('/')[0]!)).toBe(true);
    const removed = await all('DEL', pods);
    expect(removed.filter(({ code }) => code !== 0).map(({ stdout }) => stdout)).toEqual([]);
    expect(node.remains()).toEqual(NOTHING);
    expect(link(node.host, 'cni0')?.address).toBe(added[0]!.json.interfaces[0].mac);
  }, 240_000);

  test('#38 masquerading of 20 pods at once', async () => {
    node.writeEnv({ FLANNEL_IPMASQ: 'false' });
    const pods = Array.from({ length: 20 }, () => node.addPod());
    const added = await all('ADD', pods);
    expect(added.filter(({ code }) => code !== 0).map(({ stdout }) => stdout)).toEqual([]);
    const rules = (): string => inside(node.host, 'nft', 'list', 'table', 'inet', 'flannel_cni');
    expect(rules().match(/comment/g)).toHaveLength(20);
    await all('DEL', pods);
    expect(rules()).not.toContain('comment');
  }, 240_000);

  test('#40 ours and Debian’s host-local on one store', async () => {
    const pods = Array.from({ length: 15 }, () => node.addPod());
    const conf = {
      type: 'host-local',
      ipam: { type: 'host-local', dataDir: node.file('networks'), ranges: [[{ subnet: '10.244.1.0/24' }]] },
    };
    const debian = ['/usr/lib/cni/host-local'];
    const theirs = pods.map((pod) => node.start('ADD', { pod, id: `debian-${pod}`, conf, program: debian }).done);
    const ours = pods.map((pod) => node.start('ADD', { pod }).done);
    const outcomes = await Promise.all([...theirs, ...ours]);
    expect(outcomes.filter(({ code }) => code !== 0).map(({ stdout }) => stdout)).toEqual([]);
    expect(new Set(outcomes.map(({ json }) => json.ips[0].address)).size).toBe(30);
    expect(node.reserved()).toHaveLength(30);
    const gone = [
      ...pods.map((pod) => node.start('DEL', { pod, id: `debian-${pod}`, conf, program: debian }).done),
      ...pods.map((pod) => node.start('DEL', { pod }).done),
    ];
    await Promise.all(gone);
    expect(node.remains()).toEqual(NOTHING);
  }, 240_000);

  test('#41 killed anywhere in ADD, DEL leaves nothing', async () => {
    node.writeEnv({ FLANNEL_IPMASQ: 'false' });
    for (let i = 0; i < 40; i++) {
      const pod = node.addPod();
      const adding = node.start('ADD', { pod });
      await delay(i * 0.6);
      adding.kill();
      await adding.done;
      expect(node.del({ pod }).code).toBe(0);
      expect(node.remains()).toEqual(NOTHING);
    }
    expect(inside(node.host, 'nft', 'list', 'ruleset')).not.toContain('comment');
  }, 240_000);

  test('#41 empty address files are no loss', () => {
    node.writeEnv({ FLANNEL_SUBNET: '10.244.1.1/29' });
    const pods = Array.from({ length: 5 }, () => node.addPod());
    for (const name of ['10.244.1.2', '10.244.1.4', 'last_reserved_ip.0']) node.put('', 'networks', 'cbr0', name);
    for (const pod of pods) node.attach({ pod });
    for (const pod of pods) node.del({ pod });
    expect(node.remains()).toEqual(NOTHING);
  });

  test('#43 a lock that stays is code 11, and nothing is left', async () => {
    mkdirSync(node.file('networks', 'cbr0'), { recursive: true });
    const fd = openFile(node.file('networks', 'cbr0', 'lock'), O_RDONLY | O_CREAT, 0o750);
    flock(fd, LOCK_EX);
    const pod = node.addPod();
    try {
      const { code, json } = await node.start('ADD', { pod }).done;
      expect([code, json.code]).toEqual([1, 11]);
      expect(node.remains()).toEqual(NOTHING);
    } finally {
      closeFd(fd);
    }
    node.attach({ pod });
  }, 240_000);

  test('#43 a lock whose holder dies is taken', async () => {
    const lock = node.file('networks', 'cbr0', 'lock');
    mkdirSync(node.file('networks', 'cbr0'), { recursive: true });
    const holder = spawn('flock', [lock, 'sh', '-c', 'echo held; exec sleep 60'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    await new Promise((resolve) => holder.stdout.once('data', resolve));
    const adding = node.start('ADD', { pod: node.addPod() });
    await delay(100);
    // flock(1) keeps the descriptor open in its child, too.
    inside(node.host, 'sh', '-c', `kill -9 ${holder.pid} $(cat /proc/${holder.pid}/task/${holder.pid}/children)`);
    expect((await adding.done).code).toBe(0);
  }, 240_000);
});
