import { rmSync } from 'node:fs';
import { type CniNode, eachOnFreshNode, inside, link, PROGRAMS, pings } from './support/cni-plugin.ts';

describe.each(PROGRAMS)('CNI CHECK, GC, STATUS, %s', (_name, make) => {
  let node: CniNode;
  eachOnFreshNode(make, (fresh) => {
    node = fresh;
    node.writeEnv({ FLANNEL_IPMASQ: 'false' });
  });

  const port = (): string => node.ports()[0]!.ifname;
  const table = 'inet flannel_cni';

  test('#48 CHECK right after ADD, in every version that has it', () => {
    for (const cniVersion of ['0.4.0', '1.0.0', '1.1.0']) {
      const pod = node.addPod();
      const conf = { cniVersion };
      const prevResult = node.attach({ pod, conf });
      const { code, stdout } = node.run('CHECK', { pod, conf: { ...conf, prevResult } });
      expect([code, stdout]).toEqual([0, '']);
    }
  });

  test.each<[string, RegExp, (pod: string) => unknown]>([
    [
      'the address',
      /address 10\.244\.1\.2\/24/,
      (p) => inside(p, 'ip', 'addr', 'flush', 'dev', 'eth0', 'scope', 'global'),
    ],
    ['the default route', /route default/, (p) => inside(p, 'ip', 'route', 'del', 'default')],
    ['the overlay route', /route 10\.244\.0\.0\/16/, (p) => inside(p, 'ip', 'route', 'del', '10.244.0.0/16')],
    ['the interface', /eth0 is missing/, (p) => inside(p, 'ip', 'link', 'del', 'eth0')],
    ['the interface being up', /eth0 is down/, (p) => inside(p, 'ip', 'link', 'set', 'eth0', 'down')],
    ['its MAC address', /MAC address/, (p) => inside(p, 'ip', 'link', 'set', 'eth0', 'address', '02:00:00:00:00:77')],
    ['the port’s bridge', /not a port/, () => inside(node.host, 'ip', 'link', 'set', port(), 'nomaster')],
    ['the port being up', /is down/, () => inside(node.host, 'ip', 'link', 'set', port(), 'down')],
    ['the bridge', /bridge cni0 is missing/, () => inside(node.host, 'ip', 'link', 'del', 'cni0')],
    ['the reservation', /Failed to find address/, () => rmSync(node.file('networks', 'cbr0', '10.244.1.2'))],
    ['the masquerading', /masquerading/, () => inside(node.host, 'nft', 'flush', 'map', ...table.split(' '), 'pods4')],
  ])('#48 CHECK misses %s', (_what, message, damage) => {
    const pod = node.addPod();
    const prevResult = node.attach({ pod });
    damage(pod);
    const { code, json } = node.run('CHECK', { pod, conf: { prevResult } });
    expect(code).toBe(1);
    expect(json).toMatchObject({ code: 103, msg: expect.stringMatching(message) });
  });

  test('#48 CHECK allows what later plugins of the chain did', () => {
    const pod = node.addPod();
    const prevResult = node.attach({ pod });
    inside(pod, 'ip', 'route', 'add', '192.0.2.0/24', 'via', '10.244.1.1');
    inside(pod, 'ip', 'link', 'set', 'eth0', 'address', '02:00:00:00:00:77');
    prevResult.interfaces[2].mac = '02:00:00:00:00:77';
    prevResult.interfaces.push({ name: 'ifb0' });
    expect(node.run('CHECK', { pod, conf: { prevResult } }).code).toBe(0);
  });

  test('#48 CHECK without prevResult is code 7', () => {
    const pod = node.addPod();
    node.attach({ pod });
    expect(node.run('CHECK', { pod }).json).toMatchObject({ code: 7, msg: 'Required prevResult missing' });
  });

  test('#55 Debian’s bridge checks what ours made', () => {
    const pod = node.addPod();
    node.writeEnv();
    const result = node.attach({ pod });
    // A route without gw fails Debian's 1.1.1 after its own ADD as well: it looks for one without a gateway.
    const prevResult = { ...result, routes: result.routes.filter((route: { gw?: string }) => route.gw) };
    const conf = { ...JSON.parse(node.read('flannel', `${pod}:eth0`)), prevResult };
    const { code, stdout } = node.run('CHECK', { pod, conf, program: ['/usr/lib/cni/bridge'] });
    expect([code, stdout]).toEqual([0, '']);
  });

  test('#49 GC removes what the runtime does not name', () => {
    const conf = { cniVersion: '1.1.0' };
    const pods = Array.from({ length: 5 }, () => node.addPod());
    for (const pod of pods) node.attach({ pod, conf });
    node.attach({ pod: pods[0]!, ifName: 'net1', conf: { ...conf, name: 'other', delegate: { bridge: 'br7' } } });
    const valid = pods.slice(0, 2).map((containerID) => ({ containerID, ifname: 'eth0' }));
    expect(node.run('GC', { pod: 'x', conf: { ...conf, 'cni.dev/valid-attachments': valid } }).code).toBe(0);
    expect(node.reserved()).toEqual(['10.244.1.2', '10.244.1.3']);
    expect(node.reserved('other')).toHaveLength(1);
    expect(node.scratch()).toHaveLength(3);
    expect(node.ports()).toHaveLength(3);
    expect(pings(pods[0]!, '10.244.1.1')).toBe(true);
    expect(node.run('GC', { pod: 'x', conf }).code).toBe(0);
    expect(node.reserved()).toHaveLength(2);
    expect(node.run('GC', { pod: 'x', conf: { ...conf, 'cni.dev/attachments': [] } }).code).toBe(0);
    expect(node.reserved()).toEqual([]);
    expect(inside(node.host, 'nft', 'list', 'table', ...table.split(' '))).not.toContain('10.244.1.2 ');
  });

  test('#50 STATUS is well, or says why an ADD would fail', () => {
    const conf = { cniVersion: '1.1.0' };
    const well = node.run('STATUS', { pod: 'x', conf });
    expect([well.code, well.stdout]).toEqual([0, '']);
    const pod = node.addPod();
    node.attach({ pod });
    expect(node.run('STATUS', { pod: 'x', conf: { ...conf, ipam: { type: 'absent' } } }).json.code).toBe(50);
    rmSync(node.file('subnet.env'));
    expect(node.run('STATUS', { pod: 'x', conf }).json).toMatchObject({ code: 50 });
    expect(link(node.host, 'cni0')).toBeDefined();
  });
});
