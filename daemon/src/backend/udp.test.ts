import { type Lease, parseLeaseKey, parseLeaseValue } from '@flannel-ts/flannel/lease';
import { type NetworkConfig, parseNetworkConfig } from '@flannel-ts/flannel/network-config';
import { udpV6Data } from '@flannel-ts/flannel/udp-data';
import { parseIp } from '@flannel-ts/inet/ip';
import { parsePrefix } from '@flannel-ts/inet/prefix';
import { externalAt } from '../../testing/external.ts';
import { QUIET } from '../../testing/own-node.ts';
import { guardMetric } from '../state/guard.ts';
import type { Identity, OwnNode } from './backend.ts';
import { createBackend } from './registry.ts';

const lease = (subnet: string, publicIp: string, backendType = ''): Lease => ({
  subnet: parsePrefix(subnet, 4),
  attributes: { publicIp: parseIp(publicIp, 4), backendType },
});
const NETWORK = parsePrefix('10.5.0.0/16');
const NETWORK6 = parsePrefix('fd00::/48');
const node: OwnNode = {
  external: externalAt(['10.0.0.1'], { publicIp: parseIp('203.0.113.1') }),
  subnet: parsePrefix('10.5.1.0/24'),
  device: 'flannel0',
  ...QUIET,
};
const IDENTITY: Identity = {
  mac: () => {
    throw new Error('udp has no VTEP');
  },
  wireguardKey: () => {
    throw new Error('udp has no key');
  },
};
const create = (text: NetworkConfig) => createBackend(text, IDENTITY);
const config = (backend: object) => parseNetworkConfig(JSON.stringify({ Network: '10.5.0.0/16', Backend: backend }));

describe('udp', () => {
  const backend = create(config({ Type: 'udp', Port: 9000 }));

  test('attributes() carries the public address and no type', () => {
    expect(backend.attributes(node.external)).toEqual({ publicIp: parseIp('203.0.113.1'), backendType: '' });
    expect(backend.mtu(node.external)).toBe(1472);
  });

  test('desired() has the device with the base of the subnet, the route to the network, and the socket', () => {
    expect(backend.desired(node, [])).toEqual({
      state: {
        links: [
          { name: 'flannel0', kind: 'tun', mtu: 1472, addresses: [{ address: parseIp('10.5.1.0'), length: 32 }] },
        ],
        routes: [
          { type: 'unreachable', dst: NETWORK, metric: guardMetric(NETWORK) },
          { type: 'unicast', dst: NETWORK, link: 'flannel0' },
        ],
        superseded: [],
        complete: true,
      },
      refused: [],
      overlay: { mtu: 1472, address: parseIp('10.5.1.0'), peers: [] },
      probing: { addresses: [parseIp('10.5.1.0')], answers: 'device' },
      devices: { 4: 'flannel0' },
      transport: { listen: parseIp('10.0.0.1'), port: 9000 },
    });
  });

  test('desired() makes every other lease of udp a peer, and names the backend of others', () => {
    const leases = [
      lease('10.5.2.0/24', '10.0.0.2'),
      lease('10.5.1.0/24', '203.0.113.1'),
      lease('10.5.9.0/24', '10.0.0.9', 'vxlan'),
    ];
    const { overlay, refused } = backend.desired(node, leases);
    expect(overlay.peers).toEqual([{ subnet: parsePrefix('10.5.2.0/24'), peer: parseIp('10.0.0.2') }]);
    expect(refused).toEqual([{ lease: leases[2], reason: "its backend is vxlan, this node's is udp" }]);
  });

  test('desired() lets no lease take the own subnet, and reaches nobody at the own address or at none', () => {
    const leases = [
      lease('10.5.1.128/25', '10.0.0.2'),
      lease('10.5.0.0/20', '10.0.0.3'),
      lease('10.5.77.0/24', '203.0.113.1'),
      { subnet: parsePrefix('10.5.78.0/24'), attributes: { publicIpv6: parseIp('fd00::78'), backendType: '' } },
    ];
    expect(backend.desired(node, leases).overlay.peers).toEqual([]);
  });
});

describe('udp with IPv6', () => {
  const text = '{"Network":"10.5.0.0/16","EnableIPv6":true,"IPv6Network":"fd00::/48","Backend":{"Type":"udp"}}';
  const backend = create(parseNetworkConfig(text));
  const dualNode: OwnNode = { ...node, ipv6Subnet: parsePrefix('fd00:0:0:1::/64') };
  const dualLease = (n: number, ipv6: string, backendV6Data?: object): Lease => ({
    subnet: parsePrefix(`10.5.${n}.0/24`),
    ipv6Subnet: parsePrefix(ipv6, 6),
    attributes: { publicIp: parseIp(`10.0.0.${n}`), backendType: '', ...(backendV6Data && { backendV6Data }) },
  });

  test('attributes() says that IPv6 is carried, and the IPv6 address where there is one', () => {
    const publicIpv6 = parseIp('2001:db8::1');
    expect(backend.attributes({ ...node.external, publicIpv6 })).toEqual({
      publicIp: parseIp('203.0.113.1'),
      publicIpv6,
      backendType: '',
      backendV6Data: { Inner: 'IPv6' },
    });
    expect(backend.attributes(node.external)).not.toHaveProperty('publicIpv6');
  });

  test('desired() has both addresses and routes', () => {
    const { state, overlay } = backend.desired(dualNode, []);
    expect(state.links[0]?.addresses).toEqual([
      { address: parseIp('10.5.1.0'), length: 32 },
      { address: parseIp('fd00:0:0:1::'), length: 128 },
    ]);
    const unicast = state.routes.filter(({ type }) => type === 'unicast');
    expect(unicast.map(({ dst }) => dst)).toEqual([NETWORK, NETWORK6]);
    expect(overlay.address6).toBe(parseIp('fd00:0:0:1::'));
  });

  test('desired() sends IPv6 only to those that say they carry it, and to nobody in the own subnet', () => {
    const leases = [
      dualLease(2, 'fd00:0:0:2::/64', udpV6Data(4)),
      dualLease(3, 'fd00:0:0:3::/64'),
      dualLease(4, 'fd00:0:0:1:8000::/65', udpV6Data(4)),
      lease('10.5.5.0/24', '10.0.0.5'),
    ];
    const peers = backend.desired(dualNode, leases).overlay.peers;
    expect(peers.filter(({ subnet }) => subnet.family === 4)).toHaveLength(4);
    expect(peers.filter(({ subnet }) => subnet.family === 6)).toEqual([
      { subnet: parsePrefix('fd00:0:0:2::/64'), peer: parseIp('10.0.0.2') },
    ]);
  });

  test('mtu() refuses an underlay that leaves too little for IPv6', () => {
    expect(() => backend.mtu({ ...node.external, mtu: 1300 })).toThrow('set it to 1308 or more');
  });
});

describe('udp over IPv6', () => {
  const IPV6 = '"EnableIPv6":true,"IPv6Network":"fd00::/48"';
  const alone = create(parseNetworkConfig(`{"EnableIPv4":false,${IPV6},"Backend":{"Type":"udp"}}`));
  const dual = create(parseNetworkConfig(`{"Network":"10.5.0.0/16",${IPV6},"Backend":{"Type":"udp","Mode":"ipv6"}}`));
  const publicIpv6 = parseIp('2001:db8::1');
  const external = externalAt(['2001:db8::1']);
  const ipv6Subnet = parsePrefix('fd00:0:0:1::/64');
  const leaseOf = (key: string, value: string): Lease => ({
    ...parseLeaseKey(key)!,
    attributes: parseLeaseValue(value),
  });
  const OUTER = ',"BackendV6Data":{"Inner":"IPv6","Outer":"IPv6"}';
  const leases = [
    leaseOf('10.5.2.0-24&fd00:0:0:2::-64', `{"PublicIP":"10.0.0.2","PublicIPv6":"2001:db8::2"${OUTER}}`),
    leaseOf('10.5.3.0-24&fd00:0:0:3::-64', '{"PublicIP":"10.0.0.3","PublicIPv6":"2001:db8::3"}'),
    leaseOf(
      '10.5.4.0-24&fd00:0:0:4::-64',
      '{"PublicIP":"10.0.0.4","PublicIPv6":"2001:db8::4","BackendV6Data":{"Inner":"IPv6"}}',
    ),
    leaseOf('0.0.0.0-0&fd00:0:0:5::-64', `{"PublicIP":"0.0.0.0","PublicIPv6":"2001:db8::5"${OUTER}}`),
    leaseOf('10.5.6.0-24&fd00:0:0:6::-64', `{"PublicIP":"10.0.0.6","PublicIPv6":null${OUTER}}`),
    leaseOf('10.5.7.0-24&fd00:0:0:7::-64', `{"PublicIP":"10.0.0.7","PublicIPv6":"2001:db8::1"${OUTER}}`),
  ];

  test('attributes() has the mark, and an IPv4 address only where the network has IPv4', () => {
    const backendV6Data = { Inner: 'IPv6', Outer: 'IPv6' };
    const publicIp = parseIp('10.0.0.1');
    expect(alone.attributes({ ...external, publicIp })).toEqual({ publicIpv6, backendType: '', backendV6Data });
    expect(dual.attributes({ ...external, publicIp })).toEqual({
      publicIp,
      publicIpv6,
      backendType: '',
      backendV6Data,
    });
    expect(dual.attributes(external)).toEqual({ publicIpv6, backendType: '', backendV6Data });
  });

  test('mtu() takes an outer header of IPv6 off, and refuses an underlay that leaves too little', () => {
    expect(alone.mtu(external)).toBe(1452);
    expect(alone.mtu({ ...external, mtu: 1328 })).toBe(1280);
    expect(() => alone.mtu({ ...external, mtu: 1327 })).toThrow(/leaves 1279 bytes .* set it to 1328 or more$/);
    expect(() => dual.mtu({ ...external, mtu: 1327 })).toThrow('set it to 1328 or more, or EnableIPv6 to false');
  });

  test('desired() without IPv4 has nothing of it', () => {
    const state = alone.desired({ external, ipv6Subnet, device: 'flannel0', ...QUIET }, leases);
    expect(state).toEqual({
      state: {
        links: [{ name: 'flannel0', kind: 'tun', mtu: 1452, addresses: [{ address: ipv6Subnet.base, length: 128 }] }],
        routes: [
          { type: 'unreachable', dst: NETWORK6, metric: guardMetric(NETWORK6) },
          { type: 'unicast', dst: NETWORK6, link: 'flannel0' },
        ],
        superseded: [
          { subnet: parsePrefix('fd00:0:0:2::/64'), peer: parseIp('2001:db8::2'), node: parseIp('10.0.0.2') },
          { subnet: parsePrefix('fd00:0:0:5::/64'), peer: parseIp('2001:db8::5') },
        ],
        complete: true,
      },
      refused: expect.any(Array),
      overlay: {
        mtu: 1452,
        address6: ipv6Subnet.base,
        peers: [
          { subnet: parsePrefix('fd00:0:0:2::/64'), peer: parseIp('2001:db8::2'), node: parseIp('10.0.0.2') },
          { subnet: parsePrefix('fd00:0:0:5::/64'), peer: parseIp('2001:db8::5') },
        ],
      },
      probing: { addresses: [ipv6Subnet.base], answers: 'device' },
      devices: { 6: 'flannel0' },
      transport: { listen: publicIpv6, port: 8285 },
    });
  });

  test('desired() has routes of both families to those that say they are reached by IPv6, and to nobody else', () => {
    const own = { external, subnet: parsePrefix('10.5.1.0/24'), ipv6Subnet, device: 'flannel0', ...QUIET };
    expect(dual.desired(own, leases).overlay.peers).toEqual([
      { subnet: parsePrefix('10.5.2.0/24'), peer: parseIp('2001:db8::2'), node: parseIp('10.0.0.2') },
      { subnet: parsePrefix('fd00:0:0:2::/64'), peer: parseIp('2001:db8::2'), node: parseIp('10.0.0.2') },
      { subnet: parsePrefix('fd00:0:0:5::/64'), peer: parseIp('2001:db8::5') },
    ]);
  });

  test('desired() over IPv4 leaves out nodes without an IPv4 socket', () => {
    const over4 = create(parseNetworkConfig(`{"EnableIPv4":false,${IPV6},"Backend":{"Type":"udp","Mode":"ipv4"}}`));
    const state = over4.desired({ external: node.external, ipv6Subnet, device: 'flannel0', ...QUIET }, leases);
    expect([state.overlay.mtu, state.transport?.listen]).toEqual([1472, parseIp('10.0.0.1')]);
    expect(state.overlay.peers).toEqual([{ subnet: parsePrefix('fd00:0:0:4::/64'), peer: parseIp('10.0.0.4') }]);
    expect(over4.attributes(node.external)).toEqual({
      publicIp: parseIp('203.0.113.1'),
      backendType: '',
      backendV6Data: { Inner: 'IPv6' },
    });
  });
});

describe('udp where the network holds addresses of the underlay', () => {
  const backend = create(parseNetworkConfig('{"Network":"10.0.0.0/8","SubnetLen":24}'));
  const leases = [lease('10.5.2.0/24', '10.65.0.17')];

  test('desired() has a route for each peer instead of one for the network', () => {
    const dst = parsePrefix('10.5.2.0/24');
    expect(backend.desired(node, leases).state.routes).toEqual([
      { type: 'unreachable', dst, metric: guardMetric(parsePrefix('10.0.0.0/8')) },
      { type: 'unicast', dst, link: 'flannel0' },
    ]);
  });

  test('desired() without leases says that it is not complete, so that what an earlier start made stays', () => {
    expect(backend.desired(node, undefined).state).toMatchObject({ routes: [], complete: false });
  });
});

test('desired() has no route into the device before the leases are known', () => {
  const { state } = create(config({ Type: 'udp' })).desired(node, undefined);
  expect(state.routes).toEqual([{ type: 'unreachable', dst: NETWORK, metric: guardMetric(NETWORK) }]);
});
