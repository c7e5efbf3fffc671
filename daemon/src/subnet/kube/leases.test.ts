import { parseNetworkConfig } from '@flannel-ts/flannel/network-config';
import { parseIp } from '@flannel-ts/inet/ip';
import { pino } from 'pino';
import { annotationNames, formatAnnotations } from './annotations.ts';
import { LeaseReader } from './leases.ts';
import { annotationPatch, checkPodSubnets, type KubeNode, podSubnets, readNode } from './node.ts';

const names = annotationNames('flannel.alpha.coreos.com');
const log = pino({ level: 'silent' });
const node = (name: string, n: number, address = n, more: Partial<KubeNode> = {}): KubeNode => ({
  name,
  uid: name,
  resourceVersion: '1',
  podCidrs: [`10.5.${n}.0/24`],
  annotations: formatAnnotations({ publicIp: parseIp(`192.168.0.${address}`, 4), backendType: '' }, names),
  ...more,
});
const reader = () => new LeaseReader({ names, log }, [4]);

test('LeaseReader tells a snapshot, and then changes only', () => {
  const leases = reader();
  expect(
    leases.batches([{ type: 'snapshot', nodes: [node('a', 1), node('b', 2, 2, { annotations: {} })] }]),
  ).toMatchObject([{ kind: 'snapshot', leases: [{ subnet: { length: 24 } }] }]);
  expect(leases.batches([{ type: 'put', node: node('a', 1) }])).toEqual([]);
  expect(
    leases.batches([
      { type: 'put', node: node('a', 1, 9) },
      { type: 'put', node: node('b', 2) },
    ]),
  ).toMatchObject([{ kind: 'changes', changed: [{}, {}], removed: [] }]);
  expect(leases.batches([{ type: 'put', node: node('b', 2, 2, { annotations: {} }) }])).toMatchObject([
    { kind: 'changes', changed: [], removed: [{}] },
  ]);
  expect(leases.batches([{ type: 'delete', node: node('a', 1) }])).toMatchObject([{ changed: [], removed: [{}] }]);
});

test('LeaseReader makes one change of what happened to a node at once', () => {
  const leases = reader();
  leases.batches([{ type: 'snapshot', nodes: [node('a', 1)] }]);
  // Removed, and again there with another podCIDR, while another node got the first.
  const [batch] = leases.batches([
    { type: 'delete', node: node('a', 1) },
    { type: 'put', node: node('a', 2) },
    { type: 'put', node: node('b', 1) },
  ]);
  expect(batch).toMatchObject({ kind: 'changes', removed: [] });
  expect(batch!.kind === 'changes' && batch!.changed).toHaveLength(2);
});

test('podSubnets() goes by the family, not by the place', () => {
  const cidrs = { podCidrs: ['fd00:0:0:1::/64', '10.5.1.0/24'] };
  expect(podSubnets(cidrs, [4, 6])).toMatchObject({ subnet: { family: 4 }, ipv6Subnet: { family: 6 } });
  expect(podSubnets(cidrs, [4])).not.toHaveProperty('ipv6Subnet');
  expect(podSubnets({ podCidrs: [] }, [4])).toBeUndefined();
});

test('checkPodSubnets() takes a podCIDR of any length inside of the network', () => {
  const { pools } = parseNetworkConfig('{"Network":"10.5.0.0/16","EnableIPv6":true,"IPv6Network":"fd00::/48"}');
  const check = (...podCidrs: string[]) => checkPodSubnets(node('a', 1, 1, { podCidrs }), pools);
  expect(check('10.5.1.0/26', 'fd00:0:0:1::/80').kind).toBe('ok');
  expect(check('10.5.1.0/24')).toMatchObject({ kind: 'missing', reason: expect.stringContaining('no IPv6 podCIDR') });
  expect(check()).toMatchObject({ kind: 'missing', reason: expect.stringContaining('no podCIDR') });
  expect(check('10.5.1.0/24', 'fd01::/64')).toMatchObject({
    kind: 'wrong',
    reason: expect.stringContaining('IPv6Network'),
  });
});

test('readNode() keeps what flanneld needs of a node', () => {
  const object = {
    metadata: { name: 'a', uid: 'u', resourceVersion: '7', annotations: { [names.backendType]: '', other: 'x' } },
    spec: { podCIDR: '10.5.1.0/24' },
    status: { conditions: [{ type: 'Ready', status: 'True' }] },
  };
  expect(readNode(object, (name) => name !== 'other')).toEqual({
    name: 'a',
    uid: 'u',
    resourceVersion: '7',
    podCidrs: ['10.5.1.0/24'],
    annotations: { [names.backendType]: '' },
  });
});

test('annotationPatch() has what differs, and removes what another backend left', () => {
  const before = { [names.backendV6Data]: 'null', [names.backendType]: 'vxlan', [names.nodePublicIp]: '192.0.2.1' };
  expect(annotationPatch(before, { [names.backendType]: 'host-gw' }, names)).toEqual({
    [names.backendType]: 'host-gw',
    [names.backendV6Data]: null,
  });
  expect(
    annotationPatch(before, { [names.backendV6Data]: 'null', [names.backendType]: 'vxlan' }, names),
  ).toBeUndefined();
});
