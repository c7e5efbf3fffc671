import { type CniNode, compilePlugin, eachOnFreshNode, inside, pings, routes, sysctl } from './support/cni-plugin.ts';

describe('traffic of pods', () => {
  let node: CniNode;
  eachOnFreshNode(compilePlugin, (fresh) => {
    node = fresh;
  });

  /** A network beyond the node, which knows nothing of pods. */
  const addOutside = (): string => {
    const outside = node.addPod();
    inside(node.host, 'ip', 'link', 'add', 'up0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', outside);
    inside(node.host, 'ip', 'address', 'add', '192.0.2.1/24', 'dev', 'up0');
    inside(node.host, 'ip', 'link', 'set', 'up0', 'up');
    inside(outside, 'ip', 'address', 'add', '192.0.2.2/24', 'dev', 'eth0');
    inside(outside, 'ip', 'link', 'set', 'eth0', 'up');
    return outside;
  };

  test('#52 pod to pod, pod to node, node to pod, with full packets', () => {
    const [a, b] = [node.addPod(), node.addPod()];
    node.attach({ pod: a });
    node.attach({ pod: b });
    for (const size of ['56', '1422']) {
      expect(pings(a, '10.244.1.3', '-M', 'do', '-s', size)).toBe(true);
      expect(pings(a, '10.244.1.1', '-M', 'do', '-s', size)).toBe(true);
      expect(pings(node.host, '10.244.1.2', '-M', 'do', '-s', size)).toBe(true);
    }
    expect(pings(a, '10.244.1.3', '-M', 'do', '-s', '1423')).toBe(false);
  });

  test('#52 an address that goes to another pod is reached at once', () => {
    node.writeEnv({ FLANNEL_SUBNET: '10.244.1.1/29' });
    const [a, b] = [node.addPod(), node.addPod()];
    const ask = { env: { CNI_ARGS: 'IP=10.244.1.4' } };
    const peer = node.addPod();
    node.attach({ pod: peer });
    for (const pod of [a, b, a, b]) {
      node.attach({ pod, ...ask });
      expect(pings(peer, '10.244.1.4')).toBe(true);
      expect(pings(node.host, '10.244.1.4')).toBe(true);
      node.del({ pod });
    }
  });

  test('#52 masquerading reaches a network that has no way back, and is needed for it', () => {
    addOutside();
    const without = node.addPod();
    node.attach({ pod: without });
    expect(pings(without, '192.0.2.2')).toBe(false);
    node.writeEnv({ FLANNEL_IPMASQ: 'false' });
    const pod = node.addPod();
    node.attach({ pod });
    expect(pings(pod, '192.0.2.2')).toBe(true);
    expect(pings(without, '192.0.2.2')).toBe(false);
    node.del({ pod });
    node.writeEnv();
    node.attach({ pod });
    expect(pings(pod, '192.0.2.2')).toBe(false);
  });

  test('#52 masquerading of all pods is back with the next ADD when somebody has flushed the ruleset', () => {
    addOutside();
    node.writeEnv({ FLANNEL_IPMASQ: 'false' });
    const [first, second] = [node.addPod(), node.addPod()];
    node.attach({ pod: first });
    inside(node.host, 'nft', 'flush', 'ruleset');
    expect(pings(first, '192.0.2.2')).toBe(false);
    node.attach({ pod: second });
    expect([first, second].map((pod) => pings(pod, '192.0.2.2'))).toEqual([true, true]);
    // Of a pod that has gone there is nothing to bring back.
    node.del({ pod: first });
    inside(node.host, 'nft', 'flush', 'ruleset');
    node.attach({ pod: node.addPod() });
    expect(inside(node.host, 'nft', 'list', 'map', 'inet', 'flannel_cni', 'pods4').match(/ : goto /g)).toHaveLength(2);
  });

  test('#52 hairpin mode is as asked', () => {
    const hairpin = (): string[] =>
      (JSON.parse(inside(node.host, 'bridge', '-j', '-d', 'link', 'show')) as { hairpin: boolean }[]).map((port) =>
        String(port.hairpin),
      );
    node.attach({ pod: node.addPod() });
    expect(hairpin()).toEqual(['true']);
    node.attach({ pod: node.addPod(), conf: { delegate: {} } });
    expect(hairpin().sort()).toEqual(['false', 'true']);
  });

  test('#53 the host accepts no router advertisements from pods', () => {
    const pod = node.addPod();
    node.attach({ pod });
    expect(sysctl(node.host, 'ipv6/conf/cni0/accept_ra')).toBe('0');
    const port = node.ports()[0]!.ifname;
    expect(sysctl(node.host, `ipv6/conf/${port}/accept_ra`)).toBe('0');
    expect(sysctl(node.host, `ipv6/conf/${port}/disable_ipv6`)).toBe('1');
    expect(routes(node.host, '-6').filter((route) => route.includes('default'))).toEqual([]);
  });

  test('#53 isolated ports do not reach each other', () => {
    const [a, b] = [node.addPod(), node.addPod()];
    const conf = { delegate: { portIsolation: true, isDefaultGateway: true } };
    node.attach({ pod: a, conf });
    node.attach({ pod: b, conf });
    expect(pings(a, '10.244.1.1')).toBe(true);
    expect(pings(a, '10.244.1.3')).toBe(false);
  });
});
