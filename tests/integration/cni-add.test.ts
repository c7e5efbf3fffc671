import { rmSync } from 'node:fs';
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
  sysctl,
} from './support/cni-plugin.ts';

const VERSIONS = ['0.1.0', '0.2.0', '0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'];
const V6 = { FLANNEL_IPV6_NETWORK: 'fd00:10::/48', FLANNEL_IPV6_SUBNET: 'fd00:10:0:1::1/64' };

describe.each(PROGRAMS)('CNI ADD, %s', (_name, make) => {
  let node: CniNode;
  eachOnFreshNode(make, (fresh) => {
    node = fresh;
  });

  test('#17 a pod has its address, routes and MTU, the bridge its own', () => {
    const pod = node.addPod();
    const result = node.attach({ pod });
    expect(result.ips).toEqual([{ interface: 2, address: '10.244.1.2/24', gateway: '10.244.1.1' }]);
    expect(addresses(pod, 'eth0')).toEqual(['10.244.1.2/24']);
    expect(routes(pod)).toEqual(['10.244.0.0/16 via 10.244.1.1', '10.244.1.0/24', 'default via 10.244.1.1']);
    expect(addresses(node.host, 'cni0')).toEqual(['10.244.1.1/24']);
    const [port] = node.ports();
    expect(port).toMatchObject({ master: 'cni0', mtu: 1450 });
    expect(link(pod, 'eth0')?.mtu).toBe(1450);
    expect(link(node.host, 'cni0')?.mtu).toBe(1450);
    expect(sysctl(node.host, 'ipv4/ip_forward')).toBe('1');
    expect(pings(pod, '10.244.1.1')).toBe(true);
  });

  test('#17 the file kept for DEL is upstream’s, as JSON', () => {
    const pod = node.addPod();
    node.attach({ pod });
    expect(node.scratch()).toEqual([`${pod}:eth0`]);
    expect(JSON.parse(node.read('flannel', `${pod}:eth0`))).toEqual({
      cniVersion: '1.0.0',
      name: 'cbr0',
      type: 'bridge',
      hairpinMode: true,
      isDefaultGateway: true,
      isGateway: true,
      ipMasq: false,
      mtu: 1450,
      ipam: {
        type: 'host-local',
        dataDir: node.file('networks'),
        ranges: [[{ subnet: '10.244.1.0/24' }]],
        routes: [{ dst: '10.244.0.0/16' }],
      },
    });
    expect(node.read('networks', 'cbr0', '10.244.1.2')).toBe(`${pod}\r\neth0`);
    expect(node.read('networks', 'cbr0', 'last_reserved_ip.0')).toBe('10.244.1.2');
  });

  test('#17 the bridge keeps its MTU when the last pod goes, and gets a larger one when no pod has the smaller', () => {
    const [old, pod] = [node.addPod(), node.addPod()];
    node.attach({ pod: old });
    node.del({ pod: old });
    expect(link(node.host, 'cni0')?.mtu).toBe(1450);
    node.attach({ pod: old });
    node.writeEnv({ FLANNEL_MTU: '8950' });
    node.attach({ pod });
    expect([link(node.host, 'cni0')?.mtu, link(pod, 'eth0')?.mtu]).toEqual([1450, 8950]);
    for (const each of [old, pod]) node.del({ pod: each });
    node.attach({ pod });
    expect(link(node.host, 'cni0')?.mtu).toBe(8950);
    node.del({ pod });
    node.writeEnv({ FLANNEL_MTU: '1400' });
    node.attach({ pod });
    expect(link(node.host, 'cni0')?.mtu).toBe(1400);
  });

  test('#18 IPv6 alone', () => {
    node.writeEnv({ FLANNEL_NETWORK: undefined, FLANNEL_SUBNET: undefined, ...V6 });
    const pod = node.addPod();
    expect(node.attach({ pod }).ips).toEqual([
      { interface: 2, address: 'fd00:10:0:1::2/64', gateway: 'fd00:10:0:1::1' },
    ]);
    expect(addresses(pod, 'eth0')).toEqual(['fd00:10:0:1::2/64']);
    expect(routes(pod, '-6')).toEqual([
      'default via fd00:10:0:1::1',
      'fd00:10:0:1::/64',
      'fd00:10::/48 via fd00:10:0:1::1',
    ]);
    expect(sysctl(node.host, 'ipv6/conf/all/forwarding')).toBe('1');
    expect(pings(pod, 'fd00:10:0:1::1', '-6')).toBe(true);
    expect(node.del({ pod }).code).toBe(0);
    expect(node.remains()).toEqual(NOTHING);
  });

  test('#19 both families', () => {
    node.writeEnv(V6);
    const pod = node.addPod();
    const other = node.addPod();
    expect(node.attach({ pod }).ips).toHaveLength(2);
    node.attach({ pod: other });
    expect(addresses(pod, 'eth0').sort()).toEqual(['10.244.1.2/24', 'fd00:10:0:1::2/64']);
    expect(node.reserved()).toEqual(['10.244.1.2', '10.244.1.3', 'fd00:10:0:1::2', 'fd00:10:0:1::3']);
    expect(sysctl(node.host, 'ipv4/ip_forward')).toBe('1');
    expect(sysctl(node.host, 'ipv6/conf/all/forwarding')).toBe('1');
    expect(pings(pod, '10.244.1.3')).toBe(true);
    expect(pings(pod, 'fd00:10:0:1::3', '-6')).toBe(true);
    for (const each of [pod, other]) expect(node.del({ pod: each }).code).toBe(0);
    expect(node.remains()).toEqual(NOTHING);
  });

  test('#19a both families on a host that has IPv6 off for new devices', () => {
    node.writeEnv(V6);
    inside(node.host, 'sysctl', '-qw', 'net.ipv6.conf.default.disable_ipv6=1');
    const pod = node.addPod();
    expect(node.attach({ pod }).ips).toHaveLength(2);
    expect(pings(pod, 'fd00:10:0:1::1', '-6')).toBe(true);
  });

  test('#20 a route for each network', () => {
    node.writeEnv({ FLANNEL_NETWORK: '10.244.0.0/16,10.250.0.0/16' });
    const pod = node.addPod();
    node.attach({ pod, conf: { delegate: {} } });
    expect(routes(pod)).toEqual(['10.244.0.0/16 via 10.244.1.1', '10.244.1.0/24', '10.250.0.0/16 via 10.244.1.1']);
  });

  test('#21 masquerades exactly when the daemon does not', () => {
    const first = node.addPod();
    node.attach({ pod: first });
    expect(inside(node.host, 'nft', 'list', 'ruleset')).toBe('');
    node.writeEnv({ FLANNEL_IPMASQ: 'false', ...V6 });
    const second = node.addPod();
    node.attach({ pod: second });
    const rules = inside(node.host, 'nft', 'list', 'table', 'inet', 'flannel_cni');
    expect(rules).toMatch(/10\.244\.1\.3 comment "veth[0-9a-f]+" : goto from_10\.244\.1\.0_24/);
    expect(rules).toContain('fd00:10:0:1::2 comment');
    expect(node.del({ pod: second }).code).toBe(0);
    expect(inside(node.host, 'nft', 'list', 'table', 'inet', 'flannel_cni')).not.toContain('comment');
  });

  test.each([
    ['no MTU', { FLANNEL_MTU: undefined }, /is missing FLANNEL_MTU/],
    ['no IPMASQ', { FLANNEL_IPMASQ: undefined }, /is missing FLANNEL_IPMASQ/],
    ['no SUBNET', { FLANNEL_SUBNET: undefined }, /is missing FLANNEL_SUBNET/],
    ['no NETWORK', { FLANNEL_NETWORK: undefined }, /is missing FLANNEL_NETWORK/],
    ['MTU=abc', { FLANNEL_MTU: 'abc' }, /abc/],
    ['a bad CIDR', { FLANNEL_SUBNET: '10.244.1.1' }, /10\.244\.1\.1/],
  ])('#22 a subnet file with %s is an error that leaves nothing', (_what, env, message) => {
    node.writeEnv(env);
    const { code, json } = node.add({ pod: node.addPod() });
    expect(code).toBe(1);
    expect(json).toMatchObject({ code: 7, msg: expect.stringMatching(message) });
    expect(node.remains()).toEqual(NOTHING);
  });

  test('#22 without a subnet file upstream’s sentence is said', () => {
    rmSync(node.file('subnet.env'));
    expect(node.add({ pod: node.addPod() }).json).toMatchObject({
      code: 11,
      msg: `failed to load flannel 'subnet.env' file: open ${node.file('subnet.env')}: no such file or directory. Check the flannel pod log for this node.`,
    });
  });

  test.each([
    [{ name: 'x' }, "'delegate' dictionary must not have 'name' field, it'll be set by flannel"],
    [{ ipam: {} }, "'delegate' dictionary must not have 'ipam' field, it'll be set by flannel"],
    [{ type: 7 }, "'delegate' dictionary, if present, must have (string) 'type' field"],
  ])('#23 the delegate %j is refused in upstream’s words', (delegate, msg) => {
    expect(node.add({ pod: node.addPod(), conf: { delegate } }).json).toMatchObject({ code: 7, msg });
    expect(node.remains()).toEqual(NOTHING);
  });

  test.each(VERSIONS)('#11, #13 the answer to %s is in %s', (cniVersion) => {
    const pod = node.addPod();
    const result = node.attach({ pod, conf: { cniVersion: cniVersion === '0.1.0' ? undefined : cniVersion } });
    expect(result.cniVersion).toBe(cniVersion);
    if (cniVersion < '0.3.0') expect(result.ip4).toMatchObject({ ip: '10.244.1.2/24', gateway: '10.244.1.1' });
    else expect(result.ips[0]).toMatchObject({ interface: 2, address: '10.244.1.2/24' });
    expect(result.ips?.[0].version).toBe(cniVersion >= '0.3.0' && cniVersion < '1.0.0' ? '4' : undefined);
  });

  test('#37 the result names the pod’s interface with MAC address and namespace', () => {
    const pod = node.addPod();
    const { interfaces, ips } = node.attach({ pod });
    const container = interfaces[ips[0].interface];
    expect(container).toMatchObject({ name: 'eth0', sandbox: `/run/netns/${pod}`, mac: link(pod, 'eth0')?.address });
    expect(interfaces[0]).toMatchObject({ name: 'cni0', mac: link(node.host, 'cni0')?.address });
    expect(interfaces[1]).toMatchObject({ name: node.ports()[0]?.ifname, mac: node.ports()[0]?.address });
  });

  test('#35 a MAC address that is asked for, by precedence', () => {
    const macs = ['02:00:00:00:00:0a', '02:00:00:00:00:0b', '02:00:00:00:00:0c'];
    const env = { CNI_ARGS: `MAC=${macs[0]}` };
    const args = { cni: { mac: macs[1] } };
    const calls = [{ env }, { env, conf: { args } }, { env, conf: { args, runtimeConfig: { mac: macs[2] } } }];
    for (const [i, call] of calls.entries()) {
      const pod = node.addPod();
      expect(node.attach({ pod, ...call }).interfaces[2].mac).toBe(macs[i]);
      expect(link(pod, 'eth0')?.address).toBe(macs[i]);
    }
    const refused = node.add({ pod: node.addPod(), env: { CNI_ARGS: 'MAC=01:00:5e:00:00:01' } });
    expect(refused.json.code).toBe(7);
    expect(node.reserved()).toHaveLength(3);
  });

  test('#36 CNI_ARGS of Kubernetes pass, unknown ones do not', () => {
    const kubernetes = 'K8S_POD_NAMESPACE=default;IgnoreUnknown=1;K8S_POD_NAME=a';
    node.attach({ pod: node.addPod(), env: { CNI_ARGS: kubernetes } });
    const refused = node.add({ pod: node.addPod(), env: { CNI_ARGS: 'K8S_POD_NAME=a' } });
    expect(refused.json).toMatchObject({ code: 4, msg: 'ARGS: unknown args ["K8S_POD_NAME=a"]' });
  });

  test('#34 MTUs at the limits', () => {
    for (const mtu of [68, 65535]) {
      const pod = node.addPod();
      node.attach({ pod, conf: { delegate: { mtu } } });
      expect(link(pod, 'eth0')?.mtu).toBe(mtu);
    }
    expect(node.add({ pod: node.addPod(), conf: { delegate: { mtu: 65536 } } }).json).toMatchObject({ code: 7 });
    expect(node.reserved()).toHaveLength(2);
  });
});
