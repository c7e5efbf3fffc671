import { formatLeaseValue, type Lease, parseLeaseKey, parseLeaseValue } from '@flannel-ts/flannel/lease';
import { parseNetworkConfig } from '@flannel-ts/flannel/network-config';
import { parseIp } from '@flannel-ts/inet/ip';
import { parsePrefix } from '@flannel-ts/inet/prefix';
import { ownNodeAt } from '../../testing/own-node.ts';
import { guardMetric } from '../state/guard.ts';
import { createAllocBackend } from './alloc.ts';
import { createHostGwBackend } from './host-gw.ts';

const config = (type: string) =>
  parseNetworkConfig(
    `{"Network":"10.5.0.0/16","EnableIPv6":true,"IPv6Network":"fd00::/48","Backend":{"Type":"${type}"}}`,
  );
const backend = createHostGwBackend(config('host-gw'));
const NETWORKS = [parsePrefix('10.5.0.0/16'), parsePrefix('fd00::/48')];
const node = ownNodeAt(['10.0.0.1', '2001:db8::1'], ['10.5.1.0/24', 'fd00:0:0:1::/64'], {
  direct: new Map([
    [parseIp('10.0.0.2'), 'eth0'],
    [parseIp('2001:db8::2'), 'eth1'],
  ]),
});
const peer = (n: number, type = 'host-gw'): Lease => ({
  ...parseLeaseKey(`10.5.${n}.0-24&fd00:0:0:${n}::-64`)!,
  attributes: parseLeaseValue(`{"PublicIP":"10.0.0.${n}","PublicIPv6":"2001:db8::${n}","BackendType":"${type}"}`),
});

describe('host-gw', () => {
  test('attributes() are byte for byte what flannel writes', () => {
    expect(formatLeaseValue(backend.attributes(node.external))).toBe(
      '{"PublicIP":"10.0.0.1","PublicIPv6":"2001:db8::1","BackendType":"host-gw"}',
    );
  });

  test.each([
    [{ publicIp: parseIp('203.0.113.1') }, 'the public IPv4 address 203.0.113.1 is not that of eth0 (10.0.0.1)'],
    [{ publicIpv6: parseIp('2001:db8::99') }, 'leave out -public-ipv6'],
  ])('attributes() refuses a public address that no route can name: %j', (more, message) => {
    expect(() => backend.attributes({ ...node.external, ...more })).toThrow(message);
  });

  test('desired() has a route of each family by the address and the link of the peer, and no device', () => {
    const { state, overlay, devices, refused } = backend.desired(node, [peer(2)]);
    expect([state.links, refused]).toEqual([[], []]);
    expect(state.routes).toEqual([
      ...NETWORKS.map((dst) => ({ type: 'unreachable', dst, metric: guardMetric(dst) })),
      { type: 'unicast', dst: parsePrefix('10.5.2.0/24'), gateway: parseIp('10.0.0.2'), link: 'eth0' },
      { type: 'unicast', dst: parsePrefix('fd00:0:0:2::/64'), gateway: parseIp('2001:db8::2'), link: 'eth1' },
    ]);
    expect([overlay.mtu, devices]).toEqual([1500, { 4: 'eth0', 6: 'eth0' }]);
  });

  test('desired() refuses peers behind a router, and of another backend', () => {
    const { overlay, refused } = backend.desired(node, [peer(3), peer(2, 'vxlan')]);
    expect(overlay.peers).toEqual([]);
    expect(refused.map(({ reason }) => reason)).toEqual([
      expect.stringMatching(/^its address 10\.0\.0\.3 is on no link of this node's, which host-gw needs: /),
      expect.stringMatching(/^its address 2001:db8::3 is on no link of this node's, which host-gw needs: /),
      "its backend is vxlan, this node's is host-gw",
    ]);
  });
});

describe('alloc', () => {
  const alloc = createAllocBackend(config('alloc'));

  test('has a lease and an MTU, and nothing in the kernel', () => {
    expect(formatLeaseValue(alloc.attributes(node.external))).toBe(
      '{"PublicIP":"10.0.0.1","PublicIPv6":"2001:db8::1"}',
    );
    expect(alloc.mtu(node.external)).toBe(1500);
    expect(alloc.desired(node, [peer(2)])).toEqual({
      state: { links: [], routes: [], complete: true },
      overlay: { mtu: 1500, peers: [] },
      probing: { addresses: [], answers: 'node' },
      devices: { 4: 'eth0', 6: 'eth0' },
      refused: [],
    });
  });
});
