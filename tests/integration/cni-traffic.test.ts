import { renameSync } from 'node:fs';
import {
  type CniNode,
  type Conf,
  compilePlugin,
  eachOnFreshNode,
  inside,
  link,
  NOTHING,
  pings,
  routes,
  sysctl,
} from './support/cni-plugin.ts';

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

  // As docs/cni.md says of delegate.mtu. A larger bridge would hand on what the port drops without a word.
  test.each([
    ['comes later', 1],
    ['was there first', 0],
  ])(
    '#34 on a bridge with two networks, pods of the one with the smaller MTU that %s are reached by large packets',
    (_when, at) => {
      const outside = addOutside();
      inside(node.host, 'ip', 'address', 'add', '2001:db8::1/64', 'dev', 'up0', 'nodad');
      inside(outside, 'ip', 'address', 'add', '2001:db8::2/64', 'dev', 'eth0', 'nodad');
      inside(outside, 'ip', 'route', 'add', 'default', 'via', '2001:db8::1');
      const networkOf = (number: number, name: string, mtu: number): Conf => {
        const subnet = { FLANNEL_IPV6_NETWORK: 'fd00:10::/48', FLANNEL_IPV6_SUBNET: `fd00:10:0:${number}::1/64` };
        node.writeEnv({ FLANNEL_NETWORK: undefined, FLANNEL_SUBNET: undefined, FLANNEL_MTU: String(mtu), ...subnet });
        renameSync(node.file('subnet.env'), node.file(`${name}.env`));
        return { name, subnetFile: node.file(`${name}.env`) };
      };
      const networks = [networkOf(1, 'large', 1450), networkOf(2, 'small', 1300)];
      const [large, small] = [node.addPod(), node.addPod()];
      const attachments = [
        { pod: large, conf: networks[0]! },
        { pod: small, conf: networks[1]! },
      ];
      const results = (at === 1 ? attachments : attachments.toReversed()).map((call) => ({
        ...call,
        prevResult: node.attach(call),
      }));
      expect(link(node.host, 'cni0')?.mtu).toBe(1300);
      expect([large, small].map((pod) => link(pod, 'eth0')?.mtu)).toEqual([1450, 1300]);
      // The first is refused with the size that fits.
      const answered = Array.from({ length: 10 }).findIndex(() => pings(outside, 'fd00:10:0:2::2', '-s', '1400'));
      expect(answered).toBeGreaterThan(0);
      expect(inside(outside, 'ip', '-6', 'route', 'get', 'fd00:10:0:2::2')).toContain('mtu 1300');
      expect(pings(large, 'fd00:10:0:1::1', '-s', '1400')).toBe(true);
      for (const { pod, conf, prevResult } of results) {
        expect(node.run('CHECK', { pod, conf: { ...conf, prevResult } })).toMatchObject({ code: 0 });
      }
      // With the last pod of the small one goes its limit.
      expect(node.del(attachments[1]!).code).toBe(0);
      const another = { pod: node.addPod(), conf: networks[0]! };
      node.attach(another);
      expect(link(node.host, 'cni0')?.mtu).toBe(1450);
      for (const call of [attachments[0]!, another]) expect(node.del(call).code).toBe(0);
      expect([node.reserved('large'), node.reserved('small'), node.remains()]).toEqual([[], [], NOTHING]);
    },
  );

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
