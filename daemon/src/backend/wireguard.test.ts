import { formatLeaseValue, type Lease, parseLeaseKey, parseLeaseValue } from '@flannel-ts/flannel/lease';
import { parseNetworkConfig } from '@flannel-ts/flannel/network-config';
import { formatIp } from '@flannel-ts/inet/ip';
import { formatPrefix, parsePrefix } from '@flannel-ts/inet/prefix';
import { publicKeyOf } from '@flannel-ts/wireguard/key';
import { ownNodeAt } from '../../testing/own-node.ts';
import { guardMetric } from '../state/guard.ts';
import { createWireguardBackend } from './wireguard.ts';

const key = (n: number) => Buffer.alloc(32, n).toString('base64');
const OWN = key(1);
const create = (backend: object, more: object = DUAL) => {
  const config = parseNetworkConfig(
    JSON.stringify({ Network: '10.5.0.0/16', Backend: { Type: 'wireguard', ...backend }, ...more }),
  );
  if (config.backend.type !== 'wireguard') throw new Error('no wireguard');
  const mac = (): never => {
    throw new Error('wireguard has no VTEP');
  };
  return createWireguardBackend(config, config.backend, { mac, wireguardKey: () => OWN });
};
const DUAL = { EnableIPv6: true, IPv6Network: 'fd00::/48' };
const NETWORKS = [parsePrefix('10.5.0.0/16'), parsePrefix('fd00::/48')] as const;
const node = ownNodeAt(['10.0.0.1', '2001:db8::1'], ['10.5.1.0/24', 'fd00:0:0:1::/64']);
const ipv4Node = ownNodeAt(['10.0.0.1'], ['10.5.1.0/24']);
const peer = (n: number, value: object = {}): Lease => ({
  ...parseLeaseKey(`10.5.${n}.0-24&fd00:0:0:${n}::-64`)!,
  attributes: parseLeaseValue(
    JSON.stringify({
      PublicIP: `10.0.0.${n}`,
      PublicIPv6: `2001:db8::${n}`,
      BackendType: 'wireguard',
      BackendData: { PublicKey: key(n), Port: 51820 },
      BackendV6Data: { PublicKey: key(n), Port: 51821 },
      ...value,
    }),
  ),
});
const linksOf = (backend: ReturnType<typeof create>, leases: readonly Lease[] = [peer(2)], own = node) =>
  backend.desired(own, leases).state.links.map((link) => {
    if (link.kind !== 'wireguard') throw new Error('another kind');
    const peers = link.peers.map(({ endpoint, allowedIps }) => [
      `${formatIp(endpoint.address)} ${endpoint.port}`,
      ...allowedIps.map(formatPrefix),
    ]);
    return { name: link.name, port: link.port, mtu: link.mtu, peers };
  });

test('attributes() are byte for byte what flannel writes', () => {
  const data = (port: number) => `{"PublicKey":"${publicKeyOf(OWN)}","Port":${port}}`;
  expect(formatLeaseValue(create({}).attributes(node.external))).toBe(
    `{"PublicIP":"10.0.0.1","PublicIPv6":"2001:db8::1","BackendType":"wireguard","BackendData":${data(51820)},"BackendV6Data":${data(51821)}}`,
  );
  expect(formatLeaseValue(create({}, {}).attributes(node.external))).toBe(
    `{"PublicIP":"10.0.0.1","PublicIPv6":null,"BackendType":"wireguard","BackendData":${data(51820)}}`,
  );
});

test('attributes() of one device for both families say the port at which it receives', () => {
  const { backendV6Data } = create({ Mode: 'ipv6' }).attributes(node.external);
  expect(backendV6Data).toMatchObject({ Port: 51820 });
});

test('desired() in mode separate has a device of each family, between addresses of that family', () => {
  expect(linksOf(create({}))).toEqual([
    { name: 'flannel-wg', port: 51820, mtu: 1420, peers: [['10.0.0.2 51820', '10.5.2.0/24']] },
    { name: 'flannel-wg-v6', port: 51821, mtu: 1420, peers: [['2001:db8::2 51821', 'fd00:0:0:2::/64']] },
  ]);
});

test.each([
  ['ipv4', '10.0.0.2 51820'],
  // flannel says ListenPortV6, and receives at ListenPort.
  ['ipv6', '2001:db8::2 51820'],
  // Both addresses of the peer are no private ones, or one of them is: flannel's order.
  ['auto', '2001:db8::2 51820'],
])('desired() in mode %s has one device for both families', (Mode, endpoint) => {
  expect(linksOf(create({ Mode }))).toEqual([
    { name: 'flannel-wg', port: 51820, mtu: 1420, peers: [[endpoint, '10.5.2.0/24', 'fd00:0:0:2::/64']] },
  ]);
});

test('desired() in mode auto prefers a public IPv4 address, and takes what the peer has', () => {
  const endpoint = (value: object) => linksOf(create({ Mode: 'auto' }), [peer(2, value)])[0]!.peers[0]?.[0];
  expect(endpoint({ PublicIP: '203.0.113.2' })).toBe('203.0.113.2 51820');
  expect(endpoint({ PublicIPv6: null })).toBe('10.0.0.2 51820');
  expect(endpoint({ PublicIPv6: 'fd99::2' })).toBe('10.0.0.2 51820');
});

test('desired() routes the whole network into the device, and has the key and what the config adds to a peer', () => {
  const backend = create({ PSK: key(9), PersistentKeepaliveInterval: 25 }, {});
  const { state } = backend.desired(ipv4Node, [peer(2)]);
  const [network] = NETWORKS;
  expect(state.routes).toEqual([
    { type: 'unreachable', dst: network, metric: guardMetric(network) },
    { type: 'unicast', dst: network, link: 'flannel-wg', scope: 'link' },
  ]);
  expect(state.links).toMatchObject([{ privateKey: OWN, peers: [{ presharedKey: key(9), keepalive: 25 }] }]);
  expect(backend.desired(ipv4Node, undefined).state.routes.map(({ type }) => type)).toEqual(['unreachable']);
});

test.each([
  [{ BackendType: 'vxlan' }, ["its backend is vxlan, this node's is wireguard"]],
  [{ BackendData: { PublicKey: publicKeyOf(OWN) } }, [expect.stringMatching(/^its public key is this node's own/)]],
  [{ BackendData: { PublicKey: 'no' } }, [expect.stringMatching(/^Invalid wireguard data in a lease/)]],
])('desired() refuses a peer with %j', (value, reasons) => {
  const { refused, state } = create({}, {}).desired(ipv4Node, [peer(2, value)]);
  expect(refused.map(({ reason }) => reason)).toEqual(reasons);
  expect(state.links).toMatchObject([{ peers: [] }]);
});

test('desired() gives a public key to the first node that has it', () => {
  const { refused } = create({}, {}).desired(ipv4Node, [peer(2), peer(3, { BackendData: { PublicKey: key(2) } })]);
  expect(refused.map(({ reason }) => reason)).toEqual([
    `its public key ${key(2)} is that of the node at 10.0.0.2, too`,
  ]);
});
