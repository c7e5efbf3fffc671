import type { LeaseSubnets, NodeAddresses } from '@flannel-ts/flannel/lease';
import { parseNetworkConfig } from '@flannel-ts/flannel/network-config';
import { addressBits, FAMILIES } from '@flannel-ts/inet/family';
import { type Ip, parseIp } from '@flannel-ts/inet/ip';
import {
  addressAt,
  formatPrefix,
  type Prefix,
  parsePrefix,
  prefixesOverlap,
  prefixFrom,
} from '@flannel-ts/inet/prefix';
import fc from 'fast-check';
import { allocateSubnet, fitsConfig, freeSubnets, type Occupied } from './allocate.ts';

const config = parseNetworkConfig('{"Network":"10.3.0.0/16"}');
const pool = config.pools[4]!;
const own = { publicIp: parseIp('192.168.0.1') };
const other = { publicIp: parseIp('192.168.0.2') };
const lease = (subnet: string, node: NodeAddresses = other): Occupied => ({ subnet: parsePrefix(subnet, 4), node });

describe('allocateSubnet()', () => {
  test('allocateSubnet() reuses the lease of the same public address', () => {
    const mine = lease('10.3.9.0/24', own);
    expect(allocateSubnet({ config, occupied: [lease('10.3.1.0/24'), mine], node: own, random: 0 })).toEqual({
      kind: 'reuse',
      existing: mine,
      stale: [],
    });
  });

  test('allocateSubnet() chooses no subnet that covers an address of a node or one to avoid', () => {
    const shared = parseNetworkConfig('{"Network":"10.64.0.0/22"}');
    const input = { config: shared, node: { publicIp: parseIp('10.64.0.16', 4) }, random: 0 };
    const occupied = [lease('10.9.0.0/24', { publicIp: parseIp('10.64.1.17', 4) })];
    const avoid = [parseIp('10.64.2.1'), parseIp('fd00::1')];
    expect(allocateSubnet({ ...input, occupied, avoid })).toMatchObject({
      kind: 'create',
      subnets: { subnet: parsePrefix('10.64.3.0/24') },
    });
    expect(allocateSubnet({ ...input, occupied, avoid: [...avoid, parseIp('10.64.3.9')] }).kind).toBe('none');
  });

  test('allocateSubnet() prefers the subnet used last when the node has two leases', () => {
    const occupied = [lease('10.3.8.0/24', own), lease('10.3.9.0/24', own)];
    const previous = { subnet: parsePrefix('10.3.9.0/24') };
    expect(allocateSubnet({ config, occupied, node: own, previous, random: 0 })).toMatchObject({
      existing: occupied[1],
    });
  });

  test('allocateSubnet() drops an own lease that does not fit the config any more', () => {
    const outside = lease('10.4.1.0/24', own);
    const otherLength = lease('10.3.1.0/25', own);
    const result = allocateSubnet({ config, occupied: [outside, otherLength], node: own, random: 0 });
    expect(result).toMatchObject({
      kind: 'create',
      subnets: { subnet: parsePrefix('10.3.1.0/24') },
      stale: [outside, otherLength],
    });
  });

  test('allocateSubnet() chooses the previous subnet when it is free, and not when it is leased or outside', () => {
    const previous = { subnet: parsePrefix('10.3.77.0/24') };
    const occupied = [lease('10.3.77.0/24')];
    expect(allocateSubnet({ config, occupied: [], node: own, previous, random: 0 })).toMatchObject({
      subnets: previous,
    });
    expect(allocateSubnet({ config, occupied, node: own, previous, random: 0 })).toMatchObject({
      subnets: { subnet: parsePrefix('10.3.1.0/24') },
    });
    const outside = { subnet: parsePrefix('10.4.77.0/24') };
    expect(allocateSubnet({ config, occupied: [], node: own, previous: outside, random: 0 })).toMatchObject({
      subnets: { subnet: parsePrefix('10.3.1.0/24') },
    });
  });

  test('allocateSubnet() finds the last free subnet, and none when all are taken', () => {
    const all = freeSubnets(pool, [], 1000).map((subnet) => ({ subnet: subnet as Prefix<4>, node: other }));
    expect(all).toHaveLength(255);
    const last = all.pop()!;
    expect(allocateSubnet({ config, occupied: all, node: own, random: 0.99 })).toMatchObject({
      subnets: { subnet: last.subnet },
    });
    expect(allocateSubnet({ config, occupied: [...all, last], node: own, random: 0 })).toMatchObject({
      kind: 'none',
    });
  });

  test('allocateSubnet() never gives a subnet that overlaps another or leaves the range', () => {
    const occupied = fc.array(
      fc.record({ base: fc.integer({ min: 0x0a020000, max: 0x0a040000 }), length: fc.integer({ min: 20, max: 30 }) }),
      { maxLength: 300 },
    );
    fc.assert(
      fc.property(occupied, fc.double({ min: 0, max: 0.999, noNaN: true }), (blocks, random) => {
        const leases = blocks.map(({ base, length }) => {
          const size = 2 ** (32 - length);
          return { subnet: { family: 4, base: base - (base % size), length }, node: other } as Occupied;
        });
        const result = allocateSubnet({ config, occupied: leases, node: own, random });
        if (result.kind !== 'create') return result.kind === 'none';
        const clash = leases.find((taken) => prefixesOverlap(taken.subnet!, result.subnets.subnet!));
        if (clash) throw new Error(`${formatPrefix(result.subnets.subnet!)} overlaps ${formatPrefix(clash.subnet!)}`);
        return fitsConfig(config, result.subnets);
      }),
    );
  });
});

describe('with IPv6', () => {
  const network = parseNetworkConfig('{"Network":"10.3.0.0/16","EnableIPv6":true,"IPv6Network":"fd00::/48"}');
  const dual = (subnet: string, ipv6: string, node = other): Occupied => {
    return { subnet: parsePrefix(subnet, 4), ipv6Subnet: parsePrefix(ipv6, 6), node };
  };
  const allocate = (occupied: Occupied[], previous: Partial<LeaseSubnets> = {}) =>
    allocateSubnet({ config: network, occupied, node: own, previous, random: 0 });

  test('allocateSubnet() chooses a free subnet of each family, whatever the other one’s number', () => {
    const occupied = [dual('10.3.1.0/24', 'fd00:0:0:2::/64'), dual('10.3.2.0/24', 'fd00:0:0:1::/63')];
    expect(allocate(occupied)).toEqual({
      kind: 'create',
      stale: [],
      subnets: { subnet: parsePrefix('10.3.3.0/24'), ipv6Subnet: parsePrefix('fd00:0:0:3::/64') },
    });
  });

  test('allocateSubnet() chooses each of the previous subnets that is free', () => {
    const { subnet, ipv6Subnet } = dual('10.3.77.0/24', 'fd00:0:0:77::/64');
    const previous = { subnet: subnet!, ipv6Subnet: ipv6Subnet! };
    expect(allocate([], previous)).toMatchObject({ subnets: previous });
    expect(allocate([dual('10.3.77.0/24', 'fd00:0:0:9::/64')], previous)).toMatchObject({
      subnets: { subnet: parsePrefix('10.3.1.0/24'), ipv6Subnet },
    });
  });

  test('allocateSubnet() leaves a node its subnet when IPv6 is turned on, or off', () => {
    const before = lease('10.3.9.0/24', own);
    expect(allocate([before])).toMatchObject({ kind: 'create', stale: [before], subnets: { subnet: before.subnet } });
    const both = dual('10.3.9.0/24', 'fd00:0:0:9::/64', own);
    expect(allocate([both])).toMatchObject({ kind: 'reuse', existing: both });
    expect(allocateSubnet({ config, occupied: [both], node: own, random: 0 })).toEqual({
      kind: 'create',
      stale: [both],
      subnets: { subnet: both.subnet },
    });
  });

  test('allocateSubnet() gives nothing when one family has nothing left', () => {
    expect(allocate([dual('10.3.1.0/24', 'fd00::/48')])).toMatchObject({ kind: 'none' });
  });

  test('fitsConfig() looks at both families', () => {
    expect(fitsConfig(network, dual('10.3.1.0/24', 'fd00:0:0:1::/64'))).toBe(true);
    for (const wrong of ['fd00::/64', 'fd01:0:0:1::/64', 'fd00:0:0:1::/65']) {
      expect(fitsConfig(network, dual('10.3.1.0/24', wrong))).toBe(false);
    }
    expect(fitsConfig(network, lease('10.3.1.0/24'))).toBe(false);
  });
});

describe('with IPv6 alone', () => {
  const network = parseNetworkConfig('{"EnableIPv4":false,"EnableIPv6":true,"IPv6Network":"fd00::/48"}');
  const [self, another] = [{ publicIpv6: parseIp('2001:db8::1') }, { publicIpv6: parseIp('2001:db8::2') }];
  const alone = (ipv6: string, node: NodeAddresses = another): Occupied => {
    return { ipv6Subnet: parsePrefix(ipv6, 6), node };
  };
  const allocate = (occupied: Occupied[], previous: Partial<LeaseSubnets> = {}) =>
    allocateSubnet({ config: network, occupied, node: self, previous, random: 0 });

  test('allocateSubnet() chooses a free IPv6 subnet, and no IPv4 subnet where IPv4 is off', () => {
    const occupied = [alone('fd00:0:0:1::/64'), lease('10.3.1.0/24')];
    const subnets = { ipv6Subnet: parsePrefix('fd00:0:0:2::/64') };
    expect(allocate(occupied)).toEqual({ kind: 'create', stale: [], subnets });
    expect(allocate([alone('fd00::/48')])).toMatchObject({ kind: 'none' });
  });

  test('allocateSubnet() reuses the lease of the same IPv6 address, of two the one used last', () => {
    const [first, second] = [alone('fd00:0:0:8::/64', self), alone('fd00:0:0:9::/64', self)];
    expect(allocate([alone('fd00:0:0:1::/64'), first])).toEqual({ kind: 'reuse', stale: [], existing: first });
    expect(allocate([first, second], { ipv6Subnet: second.ipv6Subnet! })).toMatchObject({ existing: second });
  });

  test('allocateSubnet() leaves a node its subnet when IPv4 is turned off, or on again', () => {
    const node = { ...self, publicIp: parseIp('192.168.0.1') };
    const { ipv6Subnet } = alone('fd00:0:0:9::/64');
    const both: Occupied = { subnet: parsePrefix('10.3.9.0/24'), ipv6Subnet: ipv6Subnet!, node };
    const subnets = { ipv6Subnet };
    expect(allocate([both])).toEqual({ kind: 'create', stale: [both], subnets });
    const before = alone('fd00:0:0:9::/64', self);
    const config = parseNetworkConfig('{"Network":"10.3.0.0/16","EnableIPv6":true,"IPv6Network":"fd00::/48"}');
    expect(allocateSubnet({ config, occupied: [before], node, random: 0 })).toEqual({
      kind: 'create',
      stale: [before],
      subnets: { subnet: parsePrefix('10.3.1.0/24'), ipv6Subnet },
    });
  });

  test('fitsConfig() wants no subnet of IPv4', () => {
    expect(fitsConfig(network, alone('fd00:0:0:1::/64'))).toBe(true);
    expect(fitsConfig(network, { ...alone('fd00:0:0:1::/64'), subnet: parsePrefix('10.3.1.0/24') } as Occupied)).toBe(
      false,
    );
    expect(fitsConfig(config, alone('fd00:0:0:1::/64'))).toBe(false);
  });
});

const ends = [
  ['255.255.252.0/22', '255.255.253.0/24', '255.255.254.0/24', '255.255.255.0/24'],
  ['ffff:ffff:ffff:fffc::/62', 'ffff:ffff:ffff:fffd::/64', 'ffff:ffff:ffff:fffe::/64', 'ffff:ffff:ffff:ffff::/64'],
] as const;

test.each(ends)('freeSubnets() of %s ends with the address space', (network, ...subnets) => {
  const ipv6 = network.includes(':');
  const { pools } = parseNetworkConfig(
    JSON.stringify(ipv6 ? { EnableIPv4: false, EnableIPv6: true, IPv6Network: network } : { Network: network }),
  );
  expect(freeSubnets(pools[ipv6 ? 6 : 4]!, [], 100).map(formatPrefix)).toEqual(subnets);
});

test.each(FAMILIES)('freeSubnets() of IPv%d are exactly those that no used block overlaps', (family) => {
  const { pools } = parseNetworkConfig(
    '{"Network":"10.3.0.0/24","SubnetLen":28,"EnableIPv6":true,"IPv6Network":"fd00::/120","IPv6SubnetLen":124}',
  );
  const pool = pools[family]!;
  const all = freeSubnets(pool, [], 100);
  expect(all).toHaveLength(15);
  const bits = addressBits(family);
  const block = fc
    .tuple(fc.nat(255), fc.integer({ min: bits - 6, max: bits }))
    .map(([n, length]) => prefixFrom<Ip>(addressAt(pool.network, n), length));
  fc.assert(
    fc.property(fc.array(block, { maxLength: 12 }), (used) => {
      const free = all.filter((subnet) => !used.some((taken) => prefixesOverlap(taken, subnet)));
      expect(freeSubnets(pool, used, 100)).toEqual(free);
      expect(freeSubnets(pool, used, 3)).toEqual(free.slice(0, 3));
    }),
  );
});
