import { AVAILABLE_BACKENDS as PREVIEWED_BACKENDS } from '@flannel-ts/flannel/backend-config';
import type { Lease } from '@flannel-ts/flannel/lease';
import { parseNetworkConfig } from '@flannel-ts/flannel/network-config';
import { parseIpv4 } from '@flannel-ts/inet/ipv4';
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

  test('createBackend() refuses IPv6 for udp', () => {
    const dual = { Network: '10.5.0.0/16', EnableIPv6: true, IPv6Network: 'fd00::/48', Backend: { Type: 'udp' } };
    expect(() => createBackend(parseNetworkConfig(JSON.stringify(dual)))).toThrow('IPv4 only');
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
