/** A node that changes over from Debian's plugins, or back, while pods run. */
import {
  type CniNode,
  type Conf,
  compilePlugin,
  eachOnFreshNode,
  inside,
  link,
  NOTHING,
  pings,
  sh,
} from './support/cni-plugin.ts';

const BRIDGE = ['/usr/lib/cni/bridge'];

describe('#55 pods of another plugin', () => {
  let node: CniNode;
  eachOnFreshNode(compilePlugin, (fresh) => {
    node = fresh;
    node.writeEnv({ FLANNEL_IPMASQ: 'false' });
  });

  /** What flannel's plugin hands to bridge. */
  const theirs = (): Conf => ({
    ...{ type: 'bridge', bridge: 'cni0', isGateway: true, isDefaultGateway: true, ipMasq: true, mtu: 1450 },
    ipam: {
      ...{ type: 'host-local', dataDir: node.file('networks'), ranges: [[{ subnet: '10.244.1.0/24' }]] },
      routes: [{ dst: '10.244.0.0/16', gw: '10.244.1.1' }],
    },
  });
  const nat = (): string => inside(node.host, 'iptables', '-t', 'nat', '-S');

  test.each([
    ['its namespace is there', false],
    ['its namespace is gone', true],
  ])('CHECK passes a pod of Debian’s bridge, and DEL removes it with its iptables chain, when %s', (_what, isGone) => {
    const [pod, other] = [node.addPod(), node.addPod()];
    const prevResult = node.attach({ pod, conf: theirs(), program: BRIDGE });
    node.attach({ pod: other, conf: theirs(), program: BRIDGE });
    expect(nat()).toMatch(/-N CNI-[0-9a-f]{24}/);
    expect(node.run('CHECK', { pod, conf: { prevResult } })).toMatchObject({ code: 0, stdout: '' });
    // One of ours beside it.
    const ours = node.addPod();
    node.attach({ pod: ours });
    expect(pings(ours, '10.244.1.2')).toBe(true);
    if (isGone) sh('ip', 'netns', 'del', pod);
    expect(node.del({ pod, conf: isGone ? {} : { prevResult }, ...(isGone && { netns: '' }) }).code).toBe(0);
    expect(nat()).not.toContain(`id: \\"${pod}\\"`);
    expect(nat().match(/^-N CNI-/gm)).toHaveLength(1);
    expect(nat()).toContain(`id: \\"${other}\\"`);
    expect(node.reserved()).toEqual(['10.244.1.3', '10.244.1.4']);
    expect(node.run('CHECK', { pod: other, conf: { prevResult } }).code).toBe(1);
  });

  test('GC removes pods of Debian’s bridge that the runtime does not name, with their chains', () => {
    const [pod, kept] = [node.addPod(), node.addPod()];
    for (const each of [pod, kept]) node.attach({ pod: each, conf: theirs(), program: BRIDGE });
    const valid = [{ containerID: kept, ifname: 'eth0' }];
    const conf = { cniVersion: '1.1.0', 'cni.dev/valid-attachments': valid };
    expect(node.run('GC', { pod: 'x', conf }).code).toBe(0);
    expect(nat()).not.toContain(`id: \\"${pod}\\"`);
    expect(nat()).toContain(`id: \\"${kept}\\"`);
    expect(node.reserved()).toEqual(['10.244.1.3']);
  });

  test('Debian’s bridge removes pods of ours with the runtime’s second DEL; what it knows nothing of goes with the next GC', () => {
    const pod = node.addPod();
    const prevResult = node.attach({ pod });
    const call = { pod, conf: { ...theirs(), prevResult }, program: BRIDGE };
    // Its first DEL removes the interface and the address, and then fails, because iptables has no chain of the pod.
    node.del(call);
    expect(node.del(call).code).toBe(0);
    expect(link(pod, 'eth0')).toBeUndefined();
    expect(node.reserved()).toEqual([]);
    const conf = { cniVersion: '1.1.0', 'cni.dev/valid-attachments': [] };
    expect(node.run('GC', { pod: 'x', conf }).code).toBe(0);
    expect(node.remains()).toEqual(NOTHING);
    expect(inside(node.host, 'nft', 'list', 'table', 'inet', 'flannel_cni')).not.toContain('comment');
  });
});
