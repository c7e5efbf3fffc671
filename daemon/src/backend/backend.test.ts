import { AVAILABLE_BACKENDS as PREVIEWED_BACKENDS } from '@flannel-ts/flannel/backend-config';
import type { Lease } from '@flannel-ts/flannel/lease';
import { parseNetworkConfig } from '@flannel-ts/flannel/network-config';
import { UDP_V6_DATA } from '@flannel-ts/flannel/udp-data';
import { parseIpv4 } from '@flannel-ts/inet/ipv4';
import { parseIpv6 } from '@flannel-ts/inet/ipv6';
import { parseIpv6Prefix } from '@flannel-ts/inet/ipv6-prefix';
import { parseIpv4Prefix } from '@flannel-ts/inet/prefix';
import { AVAILABLE_BACKENDS, createBackend, type OwnNode } from './backend.ts';

const lease = (subnet: string, publicIp: string, backendType = ''): Lease => ({
  subnet: parseIpv4Prefix(subnet),
  attributes: { publicIp: parseIpv4(publicIp), backendType },
});
const node: OwnNode = {
  external: { name: 'eth0', index: 2, mtu: 1500, address: parseIpv4('10.0.0.1'), publicIp: parseIpv4('203.0.113.1') },
  subnet: parseIpv4Prefix('10.5.1.0/24'),
  device: 'flannel0',
};
const config = (backend: object) => parseNetworkConfig(JSON.stringify({ Network: '10.5.0.0/16', Backend: backend }));

describe('createBackend()', () => {
  test('AVAILABLE_BACKENDS are those that the preview of a stack lets through', () => {
    expect(AVAILABLE_BACKENDS).toEqual(PREVIEWED_BACKENDS);
  });

  test.each(['vxlan', 'host-gw'])('createBackend() refuses %s with a sentence that says what to do', (type) => {
    expect(() => createBackend(config({ Type: type }))).toThrow(
      `Backend type ${type} is not available in this flanneld: set Backend.Type in the network config to udp`,
    );
  });

  test('createBackend() refuses udp without IPv4: nodes reach each other by it', () => {
    const alone = { EnableIPv4: false, EnableIPv6: true, IPv6Network: 'fd00::/48', Backend: { Type: 'udp' } };
    expect(() => createBackend(parseNetworkConfig(JSON.stringify(alone)))).toThrow('set EnableIPv4 to true');
  });
});

describe('udp', () => {
  const backend = createBackend(config({ Type: 'udp', Port: 9000 }));

  test('attributes() carries the public address and no type', () => {
    expect(backend.attributes(node.external)).toEqual({ publicIp: parseIpv4('203.0.113.1'), backendType: '' });
    expect(backend.mtu(node.external)).toBe(1472);
  });

  test('desiredState() has the device with the base of the subnet, the route to the network, and the socket', () => {
    expect(backend.desiredState(node, [])).toEqual({
      links: [
        { name: 'flannel0', kind: 'tun', mtu: 1472, addresses: [{ address: parseIpv4('10.5.1.0'), length: 32 }] },
      ],
      routes: [{ dst: parseIpv4Prefix('10.5.0.0/16'), link: 'flannel0' }],
      tunnel: { mtu: 1472, address: parseIpv4('10.5.1.0'), listen: parseIpv4('10.0.0.1'), port: 9000, peers: [] },
    });
  });

  test('desiredState() makes every other lease a peer, whatever its backend type', () => {
    const leases = [
      lease('10.5.9.0/24', '10.0.0.9', 'vxlan'),
      lease('10.5.1.0/24', '203.0.113.1'),
      lease('10.5.2.0/24', '10.0.0.2'),
    ];
    expect(backend.desiredState(node, leases).tunnel?.peers).toEqual([
      { subnet: parseIpv4Prefix('10.5.2.0/24'), peer: parseIpv4('10.0.0.2') },
      { subnet: parseIpv4Prefix('10.5.9.0/24'), peer: parseIpv4('10.0.0.9') },
    ]);
  });

  test('desiredState() lets no lease take the own subnet, and reaches nobody at the own address or at none', () => {
    const leases = [
      lease('10.5.1.128/25', '10.0.0.2'),
      lease('10.5.0.0/20', '10.0.0.3'),
      lease('10.5.77.0/24', '203.0.113.1'),
      lease('10.5.78.0/24', '0.0.0.0'),
    ];
    expect(backend.desiredState(node, leases).tunnel?.peers).toEqual([]);
  });
});

describe('udp with IPv6', () => {
  const text = '{"Network":"10.5.0.0/16","EnableIPv6":true,"IPv6Network":"fd00::/48","Backend":{"Type":"udp"}}';
  const backend = createBackend(parseNetworkConfig(text));
  const dualNode: OwnNode = { ...node, ipv6Subnet: parseIpv6Prefix('fd00:0:0:1::/64') };
  const dualLease = (n: number, ipv6: string, backendV6Data?: object): Lease => ({
    subnet: parseIpv4Prefix(`10.5.${n}.0/24`),
    ipv6Subnet: parseIpv6Prefix(ipv6),
    attributes: { publicIp: parseIpv4(`10.0.0.${n}`), backendType: '', ...(backendV6Data && { backendV6Data }) },
  });

  test('attributes() says that IPv6 is carried, and the IPv6 address where there is one', () => {
    const publicIpv6 = parseIpv6('2001:db8::1');
    expect(backend.attributes({ ...node.external, publicIpv6 })).toEqual({
      publicIp: parseIpv4('203.0.113.1'),
      publicIpv6,
      backendType: '',
      backendV6Data: { Inner: 'IPv6' },
    });
    expect(backend.attributes(node.external)).not.toHaveProperty('publicIpv6');
  });

  test('desiredState() has both addresses and routes', () => {
    const state = backend.desiredState(dualNode, []);
    expect(state.links[0]?.addresses).toEqual([
      { address: parseIpv4('10.5.1.0'), length: 32 },
      { address: parseIpv6('fd00:0:0:1::'), length: 128 },
    ]);
    expect(state.routes.map(({ dst }) => dst)).toEqual([parseIpv4Prefix('10.5.0.0/16'), parseIpv6Prefix('fd00::/48')]);
    expect(state.tunnel?.address6).toBe(parseIpv6('fd00:0:0:1::'));
  });

  test('desiredState() sends IPv6 only to those that say they carry it, and to nobody in the own subnet', () => {
    const leases = [
      dualLease(2, 'fd00:0:0:2::/64', UDP_V6_DATA),
      dualLease(3, 'fd00:0:0:3::/64'),
      dualLease(4, 'fd00:0:0:1:8000::/65', UDP_V6_DATA),
      lease('10.5.5.0/24', '10.0.0.5'),
    ];
    const peers = backend.desiredState(dualNode, leases).tunnel!.peers;
    expect(peers.filter(({ subnet }) => subnet.family === 4)).toHaveLength(4);
    expect(peers.filter(({ subnet }) => subnet.family === 6)).toEqual([
      { subnet: parseIpv6Prefix('fd00:0:0:2::/64'), peer: parseIpv4('10.0.0.2') },
    ]);
  });

  test('mtu() refuses an underlay that leaves too little for IPv6', () => {
    expect(() => backend.mtu({ ...node.external, mtu: 1300 })).toThrow('set it to 1308 or more');
  });
});
