import type { Lease, LeaseAttributes } from '@flannel-ts/flannel/lease';
import { udpV6Data } from '@flannel-ts/flannel/udp-data';
import { formatIp, isIpv6, parseIp } from '@flannel-ts/inet/ip';
import { formatPrefix, type Prefix, parsePrefix } from '@flannel-ts/inet/prefix';
import { ownNodeAt } from '../../testing/own-node.ts';
import type { OwnNode } from './backend.ts';
import { checkOwnSubnets, describeRefusal, selectPeers, sharesUnderlay } from './peers.ts';

const lease = (subnet: string, publicIp: string, more: Partial<LeaseAttributes> = {}): Lease => {
  const ip = parseIp(publicIp);
  const attributes = { ...(isIpv6(ip) ? { publicIpv6: ip } : { publicIp: ip }), backendType: '', ...more };
  const prefix = parsePrefix(subnet);
  return prefix.family === 4 ? { subnet: prefix, attributes } : { ipv6Subnet: prefix, attributes };
};
const nodeAt = (address: string, subnet: string, more: Partial<OwnNode> = {}) => ownNodeAt([address], [subnet], more);
const node = nodeAt('10.0.0.1', '10.5.1.0/24', {
  addresses: ['10.0.0.1', '192.168.7.7', '10.5.1.1'].map((a) => parseIp(a)),
});
const NETWORK = parsePrefix('10.5.0.0/16');

function select(leases: readonly Lease[], own = node, networks: readonly Prefix[] = [NETWORK], outer: 4 | 6 = 4) {
  const rules = { outer: () => outer, read: () => ({ data: undefined }) };
  const { peers, refused } = selectPeers(own, networks, rules, leases);
  return {
    peers: peers.map(({ peer: { subnet, peer } }) => `${formatPrefix(subnet)} ${formatIp(peer)}`),
    refused: refused.map(describeRefusal),
  };
}

describe('selectPeers()', () => {
  test('selectPeers() makes every other lease a peer, and says nothing about the own one', () => {
    expect(select([lease('10.5.1.0/24', '10.0.0.1'), lease('10.5.2.0/24', '10.0.0.2')])).toEqual({
      peers: ['10.5.2.0/24 10.0.0.2'],
      refused: [],
    });
  });

  test.each([
    ['10.5.203.1', 'is inside the network 10.5.0.0/16, where packets to it would enter the overlay again'],
    ['10.0.0.1', "is this node's own"],
    ['192.168.7.7', "is this node's own"],
    ['10.5.1.1', "is this node's own"],
    ['127.0.0.1', 'is a loopback address'],
    ['0.0.0.7', 'is no address of a host'],
    ['224.0.0.5', 'is a multicast address'],
    ['255.255.255.255', 'is a reserved address'],
  ])('selectPeers() refuses a node at %s', (address, reason) => {
    expect(select([lease('10.5.203.0/24', address)])).toEqual({
      peers: [],
      refused: [`Refused the lease of 10.5.203.0/24: its public address ${address} ${reason}`],
    });
  });

  test.each(['::1', '::', 'ff02::1', 'fe80::7', '::ffff:10.0.0.7', 'fd00:0:0:9::1', '2001:db8::1'])(
    'selectPeers() refuses a node at %s',
    (address) => {
      const own = nodeAt('2001:db8::1', 'fd00:0:0:1::/64');
      const other = lease('fd00:0:0:9::/64', address, { backendV6Data: udpV6Data(6) });
      const { peers, refused } = select([other], own, [parsePrefix('fd00::/48')], 6);
      expect([peers.length, refused.length]).toEqual([0, 1]);
    },
  );

  test.each([
    ['10.6.2.0/24', 'is outside the network 10.5.0.0/16'],
    ['10.0.0.0/8', 'is outside the network 10.5.0.0/16'],
    ['10.5.1.128/25', "overlaps this node's own 10.5.1.0/24"],
    ['10.5.0.0/20', "overlaps this node's own 10.5.1.0/24"],
  ])('selectPeers() refuses the subnet %s', (subnet, reason) => {
    const refused = [`Refused the lease of ${subnet}: its subnet ${subnet} ${reason}`];
    expect(select([lease(subnet, '10.0.0.9')])).toEqual({ peers: [], refused });
  });

  test('selectPeers() refuses a node that this host reaches through a tunnel', () => {
    const own = { ...node, tunnelled: new Map([[parseIp('172.16.3.3'), 'flannel1']]) };
    expect(select([lease('10.5.3.0/24', '172.16.3.3')], own).refused).toEqual([
      'Refused the lease of 10.5.3.0/24: its public address 172.16.3.3 is reached through the tunnel flannel1',
    ]);
  });

  test('selectPeers() refuses a node of the other outer family', () => {
    expect(select([lease('10.5.3.0/24', '2001:db8::3')]).refused).toEqual([
      'Refused the lease of 10.5.3.0/24: it is not reached by IPv4 as this node is',
    ]);
  });
});

describe('a network that holds addresses of the underlay', () => {
  const WIDE = parsePrefix('10.0.0.0/8');
  const etcd = { address: parseIp('10.64.0.1'), what: 'etcd' };
  const own = nodeAt('10.64.0.16', '10.10.0.0/20', { required: [etcd] });

  test('sharesUnderlay() sees the own address and that of etcd', () => {
    expect(sharesUnderlay(WIDE, own)).toBe(true);
    expect(sharesUnderlay(NETWORK, own)).toBe(false);
    expect(sharesUnderlay(WIDE, nodeAt('192.168.0.1', '10.10.0.0/20', { required: [etcd] }))).toBe(true);
    expect(sharesUnderlay(WIDE, nodeAt('192.168.0.1', '10.10.0.0/20'))).toBe(false);
  });

  test('selectPeers() takes nodes with addresses in it, but for those in a subnet of pods', () => {
    const leases = [
      lease('10.20.0.0/20', '10.65.0.17'),
      lease('10.30.0.0/20', '10.20.0.1'),
      lease('10.40.0.0/20', '10.10.0.7'),
    ];
    expect(select(leases, own, [WIDE])).toEqual({
      peers: ['10.20.0.0/20 10.65.0.17'],
      refused: [
        'Refused the lease of 10.30.0.0/20: its public address 10.20.0.1 is inside the subnet 10.20.0.0/20, which is for pods',
        'Refused the lease of 10.40.0.0/20: its public address 10.10.0.7 is inside the subnet 10.10.0.0/20, which is for pods',
      ],
    });
  });

  test('selectPeers() refuses subnets that would take etcd or this node away, and then reaches nodes in them', () => {
    const leases = [
      lease('10.64.0.0/28', '10.65.0.17'),
      lease('10.64.0.16/28', '10.65.0.18'),
      lease('10.50.0.0/20', '10.64.0.2'),
    ];
    expect(select(leases, own, [WIDE])).toEqual({
      peers: ['10.50.0.0/20 10.64.0.2'],
      refused: [
        'Refused the lease of 10.64.0.0/28: its subnet 10.64.0.0/28 covers 10.64.0.1, an address of etcd',
        "Refused the lease of 10.64.0.16/28: its subnet 10.64.0.16/28 covers 10.64.0.16, this node's own address",
      ],
    });
  });

  test('checkOwnSubnets() says what to set when the own subnet takes something away', () => {
    expect(() => checkOwnSubnets(own)).not.toThrow();
    expect(() => checkOwnSubnets(nodeAt('10.65.0.16', '10.64.0.0/20', { required: [etcd] }))).toThrow(
      'The subnet 10.64.0.0/20 of this node covers 10.64.0.1, an address of etcd: set SubnetMin and SubnetMax in the network config to a range without it',
    );
  });
});
