import { chmodSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { type CniNode, eachOnFreshNode, inside, link, NOTHING, PROGRAMS, pings, sh } from './support/cni-plugin.ts';

describe.each(PROGRAMS)('CNI DEL, %s', (_name, make) => {
  let node: CniNode;
  eachOnFreshNode(make, (fresh) => {
    node = fresh;
  });

  const expectGone = (pod: string, change: Partial<Parameters<CniNode['del']>[0]> = {}): void => {
    const outcome = node.del({ pod, ...change });
    expect([outcome.code, outcome.stdout, outcome.stderr]).toEqual([0, '', '']);
    expect(node.remains()).toEqual(NOTHING);
  };

  test('#44 DEL twice', () => {
    const pod = node.addPod();
    node.attach({ pod });
    expectGone(pod);
    expect(link(pod, 'eth0')).toBeUndefined();
    expectGone(pod);
  });

  test('#44 DEL of what was never added', () => expectGone(node.addPod()));

  test('#44 DEL of an interface that cannot exist', () => {
    const pod = node.addPod();
    expect(node.add({ pod, ifName: 'a%b' }).code).toBe(1);
    expectGone(pod, { ifName: 'a%b' });
  });

  test.each([
    ['empty', ''],
    ['gone', '/run/netns/fltest-gone'],
  ])('#44 DEL with a namespace that is %s', (_what, netns) => {
    const pod = node.addPod();
    node.attach({ pod });
    expectGone(pod, { netns });
  });

  test('#44 DEL after the namespace was removed, masquerading included', () => {
    node.writeEnv({ FLANNEL_IPMASQ: 'false' });
    const pod = node.addPod();
    node.attach({ pod });
    expect(inside(node.host, 'nft', 'list', 'ruleset')).toContain('10.244.1.2');
    sh('ip', 'netns', 'del', pod);
    expectGone(pod);
    expect(inside(node.host, 'nft', 'list', 'ruleset')).not.toContain('10.244.1.2');
  });

  test('#44 DEL when a plain file took the namespace’s name', () => {
    const pod = node.addPod();
    node.attach({ pod });
    writeFileSync(node.file('plain'), '');
    expectGone(pod, { netns: node.file('plain') });
  });

  test('#44 DEL after the interface was removed', () => {
    const pod = node.addPod();
    node.attach({ pod });
    inside(pod, 'ip', 'link', 'del', 'eth0');
    expectGone(pod);
  });

  test('#44 DEL after the interface was renamed', () => {
    const pod = node.addPod();
    node.attach({ pod });
    inside(pod, 'ip', 'link', 'set', 'eth0', 'down');
    inside(pod, 'ip', 'link', 'set', 'eth0', 'name', 'other0');
    expectGone(pod);
  });

  test.each([
    ['absent', undefined],
    ['empty', {}],
    ['null', null],
    ['a text', 'garbage'],
    ['wrong', { ips: [{ address: 7 }] }],
    ['of another pod', { ips: [{ address: '10.244.1.3/24' }] }],
  ])('#44 DEL with a prevResult that is %s', (_what, prevResult) => {
    const [pod, other] = [node.addPod(), node.addPod()];
    node.attach({ pod });
    node.attach({ pod: other });
    expect(node.del({ pod, conf: { prevResult } }).code).toBe(0);
    expect(node.reserved()).toEqual(['10.244.1.3']);
    expect(pings(other, '10.244.1.1')).toBe(true);
    expectGone(other);
  });

  test('#45 DEL without subnet.env', () => {
    const pod = node.addPod();
    node.attach({ pod });
    rmSync(node.file('subnet.env'));
    expectGone(pod);
  });

  test('#45 DEL without subnet.env and scratch file', () => {
    const pod = node.addPod();
    node.attach({ pod });
    rmSync(node.file('subnet.env'));
    rmSync(node.file('flannel'), { recursive: true });
    expectGone(pod);
  });

  test.each([
    ['removed', undefined],
    ['emptied', ''],
    ['torn', '{"name":"cb'],
  ])('#41, #45 DEL with a scratch file that was %s', (_what, text) => {
    const pod = node.addPod();
    node.attach({ pod });
    if (text === undefined) rmSync(node.file('flannel', `${pod}:eth0`));
    else node.put(text, 'flannel', `${pod}:eth0`);
    expectGone(pod);
  });

  test('#45 DEL after the delegate was changed uses what ADD used', () => {
    const pod = node.addPod();
    node.attach({ pod, conf: { delegate: { bridge: 'br7' } } });
    expect(node.ports()[0]?.master).toBe('br7');
    expectGone(pod, { conf: { delegate: { type: 'macvlan', master: 'absent' } } });
  });

  test('#46 DEL whose ipam fails keeps what it needs, and the next one succeeds', () => {
    const pod = node.addPod();
    const bin = node.file('bin');
    mkdirSync(bin);
    const write = (script: string): void => {
      writeFileSync(`${bin}/fickle`, `#!/bin/sh\n${script}\n`);
      chmodSync(`${bin}/fickle`, 0o755);
    };
    write('echo \'{"cniVersion":"1.0.0","ips":[{"address":"10.244.1.9/24"}]}\'');
    const call = { pod, conf: { ipam: { type: 'fickle' } }, env: { CNI_PATH: bin } };
    node.attach(call);
    write('echo \'{"code":11,"msg":"not now"}\'; exit 1');
    const failed = node.del(call);
    expect(failed.json).toMatchObject({ code: 11, msg: 'not now' });
    expect(node.scratch()).toEqual([`${pod}:eth0`]);
    write('exit 0');
    expectGone(pod, call);
  });

  test('#46 the same for another delegate', () => {
    const pod = node.addPod();
    const conf = { delegate: { type: 'ptp' } };
    node.attach({ pod, conf });
    const failed = node.del({ pod, conf, env: { CNI_PATH: '/nonexistent' } });
    expect(failed.json.msg).toContain('failed to find plugin "ptp"');
    expect(node.reserved()).toEqual(['10.244.1.2']);
    expectGone(pod, { conf });
  });

  test('#47 DEL with the node’s own namespace is refused', () => {
    inside(node.host, 'ip', 'link', 'add', 'eth0', 'type', 'bridge');
    const { code, json } = node.del({ pod: 'x', netns: '/proc/self/ns/net' });
    expect([code, json.code]).toEqual([1, 8]);
    expect(link(node.host, 'eth0')).toBeDefined();
    const byName = node.del({ pod: 'x', netns: `/run/netns/${node.host}` });
    expect(byName.json.code).toBe(8);
    expect(link(node.host, 'eth0')).toBeDefined();
  });

  test('DEL reads upstream’s scratch file, named by the container alone', () => {
    const pod = node.addPod();
    node.attach({ pod, conf: { delegate: { bridge: 'br7' } } });
    node.put(node.read('flannel', `${pod}:eth0`), 'flannel', pod);
    rmSync(node.file('flannel', `${pod}:eth0`));
    expectGone(pod);
  });

  test('#55 DEL removes what Debian’s bridge and host-local made', () => {
    const pod = node.addPod();
    const conf = {
      type: 'bridge',
      bridge: 'cni0',
      isGateway: true,
      ipam: { type: 'host-local', dataDir: node.file('networks'), ranges: [[{ subnet: '10.244.1.0/24' }]] },
    };
    node.attach({ pod, conf, program: ['/usr/lib/cni/bridge'] });
    expect(node.reserved()).toEqual(['10.244.1.2']);
    expectGone(pod);
    expect(link(pod, 'eth0')).toBeUndefined();
  });

  test('#55 Debian’s bridge and host-local remove what ours made', () => {
    const pod = node.addPod();
    node.attach({ pod });
    const conf = { ...JSON.parse(node.read('flannel', `${pod}:eth0`)), type: 'bridge' };
    expect(node.del({ pod, conf, program: ['/usr/lib/cni/bridge'] }).code).toBe(0);
    expect(node.reserved()).toEqual([]);
    expect(node.ports()).toEqual([]);
  });
});
