/** ADDs that cannot succeed, or meet something: nothing of them is left, and what was there stays. */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import {
  addresses,
  type CniNode,
  eachOnFreshNode,
  inside,
  link,
  NOTHING,
  PROGRAMS,
  pings,
  routes,
  sh,
} from './support/cni-plugin.ts';

describe.each(PROGRAMS)('CNI ADD in conflict, %s', (_name, make) => {
  let node: CniNode;
  eachOnFreshNode(make, (fresh) => {
    node = fresh;
  });

  test('#25 what is no network namespace is code 8, before anything is made', () => {
    mkdirSync(node.file('directory'));
    writeFileSync(node.file('plain'), '');
    symlinkSync(node.file('loop'), node.file('loop'));
    execFileSync('mkfifo', [node.file('pipe')]);
    const paths = [
      node.file('absent'),
      node.file('directory'),
      node.file('plain'),
      node.file('loop'),
      node.file('pipe'),
      '/proc/self/ns/mnt',
      '/proc/self/ns/net',
    ];
    for (const netns of paths) {
      const { code, json } = node.add({ pod: 'x', netns });
      expect([code, json.code]).toEqual([1, 8]);
      expect(`${json.msg} ${json.details}`).toContain(netns);
    }
    expect(node.remains()).toEqual(NOTHING);
    expect(link(node.host, 'cni0')).toBeUndefined();
  });

  test('#26 an interface of that name in the pod stays as it is, and the address comes back', () => {
    const pod = node.addPod();
    inside(pod, 'ip', 'link', 'add', 'eth0', 'type', 'bridge');
    inside(pod, 'ip', 'address', 'add', '192.0.2.1/24', 'dev', 'eth0');
    expect(node.add({ pod }).json).toMatchObject({ code: 102, msg: expect.stringContaining('"eth0" already exists') });
    expect(addresses(pod, 'eth0')).toEqual(['192.0.2.1/24']);
    expect(node.remains()).toEqual(NOTHING);
  });

  test('#27 a second ADD is refused and the first pod works on', () => {
    const pod = node.addPod();
    node.attach({ pod });
    const again = node.add({ pod });
    expect(again.json).toMatchObject({ code: 101 });
    expect(again.json.msg).toContain('duplicate allocation is not allowed');
    expect(node.reserved()).toEqual(['10.244.1.2']);
    expect(pings(pod, '10.244.1.1')).toBe(true);
    expect(node.del({ pod }).code).toBe(0);
    expect(node.remains()).toEqual(NOTHING);
  });

  test('#28 two interfaces of one container come and go on their own', () => {
    const pod = node.addPod();
    node.attach({ pod });
    node.attach({ pod, ifName: 'net1', conf: { delegate: {} } });
    expect(node.reserved()).toEqual(['10.244.1.2', '10.244.1.3']);
    expect(node.del({ pod, ifName: 'net1' }).code).toBe(0);
    expect(node.reserved()).toEqual(['10.244.1.2']);
    expect(pings(pod, '10.244.1.1')).toBe(true);
    expect(node.del({ pod }).code).toBe(0);
    expect(node.remains()).toEqual(NOTHING);
  });

  test('#29 a full range refuses until somebody leaves', () => {
    node.writeEnv({ FLANNEL_SUBNET: '10.244.1.1/29' });
    const pods = Array.from({ length: 6 }, () => node.addPod());
    const last = pods.pop()!;
    for (const pod of pods) node.attach({ pod });
    expect(node.add({ pod: last }).json).toMatchObject({
      code: 100,
      msg: expect.stringContaining('no IP addresses available in range set: 10.244.1.1-10.244.1.6'),
    });
    expect(node.ports()).toHaveLength(5);
    expect(node.scratch()).toHaveLength(5);
    node.del({ pod: pods[2]! });
    expect(node.attach({ pod: last }).ips[0].address).toBe('10.244.1.4/29');
  });

  test('#30 addresses go round, and a damaged last_reserved_ip is none', () => {
    const pod = node.addPod();
    const take = (): string => {
      const { ips } = node.attach({ pod });
      node.del({ pod });
      return ips[0].address;
    };
    expect([take(), take()]).toEqual(['10.244.1.2/24', '10.244.1.3/24']);
    node.put('10.244.1.254', 'networks', 'cbr0', 'last_reserved_ip.0');
    expect(take()).toBe('10.244.1.2/24');
    for (const text of ['', 'nonsense', '192.0.2.9']) {
      node.put(text, 'networks', 'cbr0', 'last_reserved_ip.0');
      expect(take()).toBe('10.244.1.2/24');
    }
  });

  test('#31 addresses that are asked for', () => {
    const [first, second, third] = [node.addPod(), node.addPod(), node.addPod()];
    const asked = (address: string) => ({ env: { CNI_ARGS: `IP=${address}` } });
    expect(node.attach({ pod: first, ...asked('10.244.1.77') }).ips[0].address).toBe('10.244.1.77/24');
    const byRuntime = { conf: { runtimeConfig: { ips: ['10.244.1.78/24'] } } };
    expect(node.attach({ pod: second, ...byRuntime }).ips[0].address).toBe('10.244.1.78/24');
    for (const address of ['10.244.1.77', '10.244.1.1', '192.0.2.7']) {
      expect(node.add({ pod: third, ...asked(address) }).code).toBe(1);
    }
    expect(node.reserved()).toEqual(['10.244.1.77', '10.244.1.78']);
    expect(node.scratch()).toHaveLength(2);
    const byArgs = { conf: { args: { cni: { ips: ['10.244.1.79'] } } } };
    expect(node.attach({ pod: third, ...byArgs }).ips[0].address).toBe('10.244.1.79/24');
  });

  test('#33 a bridge that is none, has another address, is down', () => {
    const pod = node.addPod();
    inside(node.host, 'ip', 'link', 'add', 'cni0', 'type', 'veth');
    const none = node.add({ pod });
    expect(none.json).toMatchObject({ code: 104, msg: '"cni0" already exists but is not a bridge' });
    inside(node.host, 'ip', 'link', 'del', 'cni0');
    inside(node.host, 'ip', 'link', 'add', 'cni0', 'type', 'bridge');
    inside(node.host, 'ip', 'address', 'add', '10.99.0.1/24', 'dev', 'cni0');
    const other = node.add({ pod });
    expect(other.json.msg).toBe('"cni0" already has an IP address different from 10.244.1.1/24');
    expect(node.remains()).toEqual(NOTHING);
    node.attach({ pod, conf: { delegate: { forceAddress: true } } });
    expect(addresses(node.host, 'cni0')).toEqual(['10.244.1.1/24']);
    expect(pings(pod, '10.244.1.1')).toBe(true);
  });

  test('#42 a directory that cannot be written leaves nothing', () => {
    const pod = node.addPod();
    writeFileSync(node.file('a-file'), '');
    const asData = node.add({ pod, conf: { dataDir: node.file('a-file') } });
    expect([asData.code, asData.json.code]).toEqual([1, 5]);
    const asStore = node.add({ pod, conf: { ipam: { dataDir: node.file('a-file') } } });
    expect([asStore.code, asStore.json.code]).toEqual([1, 5]);
    const tiny = node.file('tiny');
    mkdirSync(tiny);
    const there = (...command: string[]) => sh(...([...(node.program.resident?.enter ?? []), ...command] as [string]));
    there('mount', '-t', 'tmpfs', '-o', 'size=4k,nr_inodes=4', 'fltest', tiny);
    try {
      const full = node.add({ pod, conf: { ipam: { dataDir: tiny } } });
      expect([full.code, full.json.code]).toEqual([1, 5]);
      there('mount', '-o', 'remount,ro', tiny);
      const readOnly = node.add({ pod, conf: { dataDir: `${tiny}/x` } });
      expect([readOnly.code, readOnly.json.code]).toEqual([1, 5]);
    } finally {
      there('umount', tiny);
    }
    expect(node.remains()).toEqual(NOTHING);
    expect(link(pod, 'eth0')).toBeUndefined();
  });

  test('#42 a data directory may be a symlink', () => {
    mkdirSync(node.file('real'));
    symlinkSync(node.file('real'), node.file('networks'));
    node.attach({ pod: node.addPod() });
    expect(node.reserved()).toEqual(['10.244.1.2']);
  });

  test('#23 another delegate is run from CNI_PATH, without isGateway', () => {
    const pod = node.addPod();
    const conf = { delegate: { type: 'ptp' } };
    const result = node.attach({ pod, conf });
    expect(result.ips[0].address).toBe('10.244.1.2/24');
    expect(routes(pod)).toContain('10.244.0.0/16 via 10.244.1.1');
    expect(link(node.host, 'cni0')).toBeUndefined();
    expect(JSON.parse(node.read('flannel', `${pod}:eth0`)).isGateway).toBeUndefined();
    expect(node.del({ pod, conf }).code).toBe(0);
    expect(node.remains()).toEqual(NOTHING);
  });

  test('#24 another ipam is run from CNI_PATH', () => {
    const pod = node.addPod();
    const ipam = { type: 'static', addresses: [{ address: '10.244.1.99/24', gateway: '10.244.1.1' }] };
    const result = node.attach({ pod, conf: { ipam } });
    expect(result.ips).toEqual([{ interface: 2, address: '10.244.1.99/24', gateway: '10.244.1.1' }]);
    expect(pings(pod, '10.244.1.1')).toBe(true);
    expect(node.del({ pod, conf: { ipam } }).code).toBe(0);
    expect(node.remains()).toEqual(NOTHING);
  });

  test.each([
    ['missing', undefined, /failed to find plugin "broken" in path/],
    ['garbage', '#!/bin/sh\necho nonsense', /nonsense/],
    ['silent', '#!/bin/sh\nexit 0', /with nothing/],
    ['failing', '#!/bin/sh\n[ $CNI_COMMAND = DEL ] && exit\necho \'{"code":77,"msg":"no luck"}\'; exit 1', /no luck/],
    ['crashing', '#!/bin/sh\n[ $CNI_COMMAND = DEL ] || kill -SEGV $$', /SIGSEGV/],
    ['no program', 'x', /broken/],
  ])('#32 a delegate that is %s is an error, taken back', (_what, script, message) => {
    const bin = node.file('bin');
    mkdirSync(bin);
    if (script !== undefined) {
      writeFileSync(`${bin}/broken`, script);
      chmodSync(`${bin}/broken`, script === 'x' ? 0o644 : 0o755);
    }
    const pod = node.addPod();
    const env = { CNI_PATH: bin };
    for (const conf of [{ delegate: { type: 'broken' } }, { ipam: { type: 'broken' } }]) {
      const { code, json } = node.add({ pod, conf, env });
      expect(code).toBe(1);
      expect(json.msg).toMatch(message);
      expect(node.remains()).toEqual(NOTHING);
    }
  });

  test('#23 a type with a path, or our own, is refused', () => {
    const pod = node.addPod();
    for (const type of ['../../bin/true', 'flannel', '..']) {
      expect(node.add({ pod, conf: { delegate: { type } } }).json.code).toBe(7);
    }
    expect(node.remains()).toEqual(NOTHING);
  });
});
