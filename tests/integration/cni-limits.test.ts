/** Answers by the specification's text, and the plugin at the limits of a node: many at once, many times, disks that are full or not writable. */
import { mkdirSync, symlinkSync } from 'node:fs';
import {
  addresses,
  type CniNode,
  compilePlugin,
  eachOnFreshNode,
  link,
  NOTHING,
  type Outcome,
  pings,
  sh,
} from './support/cni-plugin.ts';
import { ERROR, RESULT, VERSION_INFO, VERSIONS, violations } from './support/cni-schema.ts';

const V6 = { FLANNEL_IPV6_NETWORK: 'fd00:10::/48', FLANNEL_IPV6_SUBNET: 'fd00:10:0:1::1/64' };

describe('the CNI plugin', () => {
  let node: CniNode;
  const mounts: string[] = [];
  eachOnFreshNode(compilePlugin, (fresh) => {
    node = fresh;
  });
  // Before the node's directory is removed.
  const unmountAll = (): void => {
    for (const mount of mounts.splice(0)) sh('umount', '-l', mount);
  };

  test('the validator of this file finds what is wrong', () => {
    const good = { cniVersion: '1.0.0', interfaces: [{ name: 'eth0' }], ips: [{ address: '10.0.0.1/24' }] };
    expect(violations(RESULT['1.0.0']!, good)).toEqual([]);
    expect(violations(RESULT['0.4.0']!, { ...good, cniVersion: '0.4.0' })).toEqual(['$.ips[0].version is missing']);
    const bad = { ...good, ips: [{ address: '10.0.0.1', interface: '2' }], x: 1 };
    expect(violations(RESULT['1.0.0']!, bad)).toHaveLength(3);
    expect(violations(RESULT['0.2.0']!, { cniVersion: '0.2.0', dns: {} })).toEqual(['$ has none of ip4, ip6']);
  });

  test.each(VERSIONS)(
    '#13, #37 the result in %s is what the specification says, with both families and every key',
    (cniVersion) => {
      node.writeEnv(V6);
      const pod = node.addPod();
      node.put('nameserver 10.0.0.10\nsearch a b\noptions ndots:5\n', 'resolv.conf');
      const ipam = {
        dataDir: node.file('networks'),
        resolvConf: node.file('resolv.conf'),
        routes: [{ dst: '192.0.2.0/24' }, { dst: '2001:db8::/32', gw: 'fd00:10:0:1::1' }],
      };
      const result = node.attach({ pod, conf: { cniVersion, ipam } });
      expect(violations(RESULT[cniVersion]!, result)).toEqual([]);
      if (cniVersion >= '0.3.0') {
        const sandbox = `/run/netns/${pod}`;
        expect(result.ips).toHaveLength(2);
        for (const ip of result.ips) {
          expect(result.interfaces[ip.interface]).toMatchObject({
            name: 'eth0',
            sandbox,
            mac: link(pod, 'eth0')!.address,
          });
        }
      }
    },
  );

  test('#13 errors and VERSION are what the specification says', () => {
    const pod = node.addPod();
    const refused = [
      node.run('FOO', { pod }),
      node.add({ pod, conf: { cniVersion: '9.9.9' } }),
      node.add({ pod, conf: { name: '' } }),
      node.add({ pod, netns: '/run/netns/fltest-absent' }),
      node.run('CHECK', { pod }),
      node.add({ pod, conf: { ipam: { type: 'absent' } } }),
    ];
    for (const { code, json } of refused) expect([code, violations(ERROR, json)]).toEqual([1, []]);
    expect(violations(VERSION_INFO, node.run('VERSION', { pod }).json)).toEqual([]);
  });

  const all = (command: string, pods: readonly string[]): Promise<Outcome[]> =>
    Promise.all(pods.map((pod) => node.start(command, { pod }).done));

  test('#38 100 ADDs at once with masquerading and both families, then 100 DELs', async () => {
    node.writeEnv({ ...V6, FLANNEL_IPMASQ: 'false' });
    const pods = Array.from({ length: 100 }, () => node.addPod());
    const added = await all('ADD', pods);
    expect(added.filter(({ code }) => code !== 0).map(({ stdout }) => stdout)).toEqual([]);
    expect(new Set(added.flatMap(({ json }) => json.ips.map((ip: { address: string }) => ip.address))).size).toBe(200);
    expect(new Set(added.map(({ json }) => json.interfaces[0].mac)).size).toBe(1);
    expect(addresses(node.host, 'cni0').sort()).toEqual(['10.244.1.1/24', 'fd00:10:0:1::1/64']);
    expect(pings(pods[99]!, addresses(pods[0]!, 'eth0')[0]!.split('/')[0]!)).toBe(true);
    const removed = await all('DEL', pods);
    expect(removed.filter(({ code }) => code !== 0).map(({ stdout }) => stdout)).toEqual([]);
    expect(node.remains()).toEqual(NOTHING);
  }, 180_000);

  // CI takes fewer; CNI_CYCLES=1000 is the whole of it.
  test('#30 many cycles of ADD and DEL leave nothing, go round the range and never give the gateway', () => {
    node.writeEnv({ FLANNEL_SUBNET: '10.244.1.1/28' });
    const pod = node.addPod();
    const seen = new Set<string>();
    for (let i = 0; i < Number(process.env.CNI_CYCLES ?? 30); i++) {
      seen.add(node.attach({ pod, id: `cycle${i}` }).ips[0].address);
      expect(node.del({ pod, id: `cycle${i}` }).code).toBe(0);
    }
    expect(seen.size).toBe(13);
    expect(seen).not.toContain('10.244.1.1/28');
    expect(node.remains()).toEqual(NOTHING);
    expect(link(pod, 'eth0')).toBeUndefined();
  }, 600_000);

  const mount = (name: string, ...options: string[]): string => {
    const directory = node.file(name);
    mkdirSync(directory, { recursive: true });
    sh('mount', '-t', 'tmpfs', ...options, 'tmpfs', directory);
    mounts.push(directory);
    return directory;
  };

  test.each([
    ['the address store', 'networks'],
    ['the directory of its own files', 'flannel'],
  ])('#42 %s on a full disk, one that is read-only, and one in memory', (_what, name) => {
    const pod = node.addPod();
    const refused = (): void => {
      const { code, json } = node.add({ pod });
      expect([code, violations(ERROR, json), json.code]).toEqual([1, [], 5]);
      expect(link(pod, 'eth0')).toBeUndefined();
      expect(node.ports()).toEqual([]);
      // DEL of an attachment that never was.
      expect(node.del({ pod }).code).toBe(0);
    };
    try {
      const directory = mount(name, '-o', 'size=16k');
      sh('sh', '-c', `head -c 65536 /dev/zero > '${directory}/filler' || true`);
      refused();
      sh('rm', `${directory}/filler`);
      node.attach({ pod });
      expect(node.del({ pod }).code).toBe(0);
      expect(node.remains()).toEqual(NOTHING);
      sh('mount', '-o', 'remount,ro', directory);
      refused();
      expect(node.run('STATUS', { pod, conf: { cniVersion: '1.1.0' } }).json).toMatchObject({ code: 50 });
    } finally {
      unmountAll();
    }
  });

  test('#42 an address store behind a symbolic link is the same store', () => {
    mkdirSync(node.file('elsewhere'));
    symlinkSync(node.file('elsewhere'), node.file('networks'));
    const pod = node.addPod();
    node.attach({ pod });
    expect(node.reserved()).toEqual(['10.244.1.2']);
    expect(node.del({ pod }).code).toBe(0);
    expect(node.remains()).toEqual(NOTHING);
  });
});
