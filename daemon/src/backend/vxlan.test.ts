import { formatLeaseValue, type Lease, parseLeaseKey, parseLeaseValue } from '@flannel-ts/flannel/lease';
import { type NetworkConfig, parseNetworkConfig } from '@flannel-ts/flannel/network-config';
import { parseIp } from '@flannel-ts/inet/ip';
import { parseMac } from '@flannel-ts/inet/mac';
import { parsePrefix } from '@flannel-ts/inet/prefix';
import { externalAt } from '../../testing/external.ts';
import { ownNodeAt } from '../../testing/own-node.ts';
import { guardMetric } from '../state/guard.ts';
import type { Identity } from './backend.ts';
import { describeRefusal } from './peers.ts';
import { createVxlanBackend } from './vxlan.ts';

const MACS: Record<string, string> = { 'flannel.1': '0a:00:00:00:00:01', 'flannel-v6.1': '0a:00:00:00:06:01' };
const IDENTITY: Identity = {
  mac: (device) => parseMac(MACS[device]!),
  wireguardKey: () => {
    throw new Error('vxlan has no key');
  },
};
const create = (backend: object, more: object = {}) => {
  const config: NetworkConfig = parseNetworkConfig(
    JSON.stringify({ Network: '10.5.0.0/16', Backend: { Type: 'vxlan', ...backend }, ...more }),
  );
  if (config.backend.type !== 'vxlan') throw new Error('no vxlan');
  return createVxlanBackend(config, config.backend, IDENTITY);
};
const DUAL = { EnableIPv6: true, IPv6Network: 'fd00::/48' };
const leaseOf = (key: string, value: object): Lease => ({
  ...parseLeaseKey(key)!,
  attributes: parseLeaseValue(JSON.stringify({ BackendType: 'vxlan', ...value })),
});
const vtep = (n: number, VNI = 1) => ({ VNI, VtepMAC: `0a:00:00:00:01:0${n}` });
const peer = (n: number, more: object = {}) =>
  leaseOf(`10.5.${n}.0-24`, { PublicIP: `10.0.0.${n}`, BackendData: vtep(n), ...more });
const NETWORK = parsePrefix('10.5.0.0/16');
const NEIGHBOUR = { addresses: [parseIp('10.0.0.1')], direct: new Map([[parseIp('10.0.0.2'), 'eth0']]) };
const node = ownNodeAt(['10.0.0.1'], ['10.5.1.0/24'], NEIGHBOUR);
const dualNode = ownNodeAt(['10.0.0.1', '2001:db8::1'], ['10.5.1.0/24', 'fd00:0:0:1::/64'], NEIGHBOUR);

describe('attributes()', () => {
  test('are byte for byte what flannel writes', () => {
    expect(formatLeaseValue(create({}).attributes(node.external))).toBe(
      '{"PublicIP":"10.0.0.1","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"0a:00:00:00:00:01"}}',
    );
    expect(formatLeaseValue(create({}, DUAL).attributes(dualNode.external))).toBe(
      '{"PublicIP":"10.0.0.1","PublicIPv6":"2001:db8::1","BackendType":"vxlan",' +
        '"BackendData":{"VNI":1,"VtepMAC":"0a:00:00:00:00:01"},"BackendV6Data":{"VNI":1,"VtepMAC":"0a:00:00:00:06:01"}}',
    );
  });
});

describe('mtu()', () => {
  test.each([
    ['IPv4', {}, {}, 1450],
    ['both families', {}, DUAL, 1430],
    ['an MTU of its own', { MTU: 9000 }, {}, 8950],
  ])('leaves room for the outer header with %s', (_, backend, more, mtu) => {
    expect(create(backend, more).mtu(dualNode.external)).toBe(mtu);
  });
});

describe('desired()', () => {
  test('has the device, and for a peer its neighbour, forwarding entry and route', () => {
    const { state, overlay, devices, transport, refused } = create({}).desired(node, [peer(2)]);
    const subnet = parsePrefix('10.5.2.0/24');
    expect(state).toEqual({
      links: [
        {
          kind: 'vxlan',
          name: 'flannel.1',
          mtu: 1450,
          addresses: [{ address: parseIp('10.5.1.0'), length: 32 }],
          mac: '0a:00:00:00:00:01',
          vni: 1,
          port: 8472,
          parent: 'eth0',
          local: parseIp('10.0.0.1'),
          learning: false,
          gbp: false,
        },
      ],
      neighbours: [{ link: 'flannel.1', address: subnet.base, mac: '0a:00:00:00:01:02' }],
      fdb: [{ link: 'flannel.1', mac: '0a:00:00:00:01:02', remote: parseIp('10.0.0.2') }],
      routes: [
        { type: 'unreachable', dst: NETWORK, metric: guardMetric(NETWORK) },
        { type: 'unicast', dst: subnet, gateway: subnet.base, link: 'flannel.1', onlink: true },
      ],
      superseded: [{ subnet, peer: parseIp('10.0.0.2') }],
      complete: true,
    });
    expect(overlay).toEqual({
      mtu: 1450,
      address: parseIp('10.5.1.0'),
      peers: [{ subnet, peer: parseIp('10.0.0.2') }],
    });
    expect([devices, transport, refused]).toEqual([{ 4: 'flannel.1' }, undefined, []]);
  });

  test('sends from the address of the interface, whatever the public one is', () => {
    const external = externalAt(['10.0.0.1'], { publicIp: parseIp('203.0.113.1') });
    const backend = create({ VNI: 7, Port: 4789 });
    MACS['flannel.7'] = '0a:00:00:00:00:07';
    const [link] = backend.desired({ ...node, external }, []).state.links;
    expect(link).toMatchObject({ name: 'flannel.7', vni: 7, port: 4789, local: parseIp('10.0.0.1') });
    expect(backend.attributes(external).publicIp).toBe(parseIp('203.0.113.1'));
  });

  test('has a device of each family, with its own MAC address and MTU', () => {
    const lease = leaseOf('10.5.2.0-24&fd00:0:0:2::-64', {
      PublicIP: '10.0.0.2',
      PublicIPv6: '2001:db8::2',
      BackendData: vtep(2),
      BackendV6Data: vtep(6),
    });
    const { state, overlay, devices } = create({}, DUAL).desired(dualNode, [lease]);
    expect(state.links.map(({ name, mtu }) => [name, mtu])).toEqual([
      ['flannel.1', 1450],
      ['flannel-v6.1', 1430],
    ]);
    expect(state.links[1]).toMatchObject({ mac: '0a:00:00:00:06:01', local: parseIp('2001:db8::1') });
    expect(state.fdb).toEqual([
      { link: 'flannel.1', mac: '0a:00:00:00:01:02', remote: parseIp('10.0.0.2') },
      { link: 'flannel-v6.1', mac: '0a:00:00:00:01:06', remote: parseIp('2001:db8::2') },
    ]);
    expect(state.routes.filter(({ type }) => type === 'unicast').map((route) => 'link' in route && route.link)).toEqual(
      ['flannel.1', 'flannel-v6.1'],
    );
    expect(overlay.mtu).toBe(1430);
    expect(devices).toEqual({ 4: 'flannel.1', 6: 'flannel-v6.1' });
  });

  test('with DirectRouting sends to neighbours without the device, and to others through it', () => {
    const { state } = create({ DirectRouting: true }).desired(node, [peer(2), peer(3)]);
    expect(state.routes.slice(1)).toEqual([
      { type: 'unicast', dst: parsePrefix('10.5.2.0/24'), gateway: parseIp('10.0.0.2'), link: 'eth0' },
      {
        type: 'unicast',
        dst: parsePrefix('10.5.3.0/24'),
        gateway: parseIp('10.5.3.0'),
        link: 'flannel.1',
        onlink: true,
      },
    ]);
    expect([state.neighbours?.length, state.fdb?.length]).toEqual([1, 1]);
  });

  test('has no peers while the leases are not known', () => {
    const { state } = create({}).desired(node, undefined);
    expect(state.complete).toBe(false);
    expect(state.routes).toEqual([{ type: 'unreachable', dst: NETWORK, metric: guardMetric(NETWORK) }]);
  });

  test.each([
    [{ BackendType: 'host-gw' }, "its backend is host-gw, this node's is vxlan"],
    [{ BackendType: '' }, "its backend is udp or alloc, this node's is vxlan"],
    [{ BackendData: undefined }, 'it has no VTEP for IPv4'],
    [{ BackendData: vtep(2, 9) }, "its VNI is 9, this node's is 1"],
    [{ BackendData: { VNI: 1, VtepMAC: 'no' } }, /^Invalid vxlan data in a lease: .*"no"/],
    [{ BackendData: { VNI: 1, VtepMAC: MACS['flannel.1'] } }, /^its VtepMAC 0a:00:00:00:00:01 is this node's own/],
  ])('refuses a peer with %j', (more, reason) => {
    const { state, refused } = create({}).desired(node, [peer(2, more)]);
    expect(refused.map((one) => one.reason)).toEqual([
      typeof reason === 'string' ? reason : expect.stringMatching(reason),
    ]);
    expect([state.neighbours, state.fdb]).toEqual([[], []]);
  });

  test('accepts a peer that was written without a VNI', () => {
    const { refused } = create({}).desired(node, [peer(2, { BackendData: { VtepMAC: '0a:00:00:00:01:02' } })]);
    expect(refused).toEqual([]);
  });

  test('refuses the second node of a MAC address, and not the second subnet of a node', () => {
    const leases = [
      peer(2),
      peer(3, { BackendData: vtep(2) }),
      leaseOf('10.5.4.0-24', { PublicIP: '10.0.0.2', BackendData: vtep(2) }),
    ];
    const { overlay, refused } = create({}).desired(node, leases);
    expect(overlay.peers.map(({ subnet }) => subnet.base)).toEqual([parseIp('10.5.2.0'), parseIp('10.5.4.0')]);
    expect(refused.map(describeRefusal)).toEqual([
      'Refused the lease of 10.5.3.0/24: its VtepMAC 0a:00:00:00:01:02 is that of the node at 10.0.0.2, too',
    ]);
  });

  test('says which address is missing for a family inside', () => {
    expect(() => create({}, DUAL).desired({ ...dualNode, external: externalAt(['10.0.0.1']) }, [])).toThrow(
      'vxlan carries IPv6 between IPv6 addresses, and eth0 has 10.0.0.1 only',
    );
  });
});
