import { formatIp } from '@flannel-ts/inet/ip';
import {
  formatPrefix,
  lastAddress,
  type Prefix,
  parsePrefix,
  prefixContains,
  prefixCovers,
  prefixesOverlap,
  prefixFrom,
} from '@flannel-ts/inet/prefix';
import * as fc from 'fast-check';
import {
  checkNodesFit,
  checkPods,
  NARROWEST_VPC,
  placeEtcd,
  placeNodes,
  planSubnets,
  RESERVED_ADDRESSES,
  SMALLEST_SUBNET,
  type SubnetPlan,
  usableAddresses,
  WIDEST_VPC,
} from './subnets.ts';

const ZONES = ['eu-central-1a', 'eu-central-1b', 'eu-central-1c'];
const SERVICES = parsePrefix('10.96.0.0/12');
const DOCKER = parsePrefix('172.17.0.0/16');

/** Any range that a VPC can have here. */
const vpcs = fc
  .tuple(fc.nat(0xffff_ffff), fc.integer({ min: WIDEST_VPC, max: NARROWEST_VPC }))
  .map(([address, length]) => prefixFrom(address as Prefix<4>['base'], length))
  .filter((vpc) => !prefixesOverlap(vpc, SERVICES) && !prefixesOverlap(vpc, DOCKER));
const zones = fc.integer({ min: 1, max: 3 }).map((count) => ZONES.slice(0, count));

/** All blocks of a plan, by address. */
function blocks(plan: SubnetPlan): Prefix<4>[] {
  return [...plan.subnets.map(({ prefix }) => prefix), ...plan.spare].sort((a, b) => a.base - b.base);
}

function property(check: (plan: SubnetPlan, vpc: Prefix<4>, names: readonly string[]) => void): void {
  fc.assert(fc.property(vpcs, zones, (vpc, names) => check(planSubnets(vpc, names), vpc, names)));
}

describe('planSubnets()', () => {
  test('divides a /19 as the picture says', () => {
    const { subnets, spare } = planSubnets(parsePrefix('10.64.0.0/19'), ZONES);
    expect(subnets.map(({ role, zone, prefix }) => `${role} ${zone} ${formatPrefix(prefix)}`)).toEqual([
      'private eu-central-1a 10.64.0.0/21',
      'private eu-central-1b 10.64.8.0/21',
      'private eu-central-1c 10.64.16.0/21',
      'public eu-central-1a 10.64.24.0/24',
      'public eu-central-1b 10.64.25.0/24',
      'public eu-central-1c 10.64.26.0/24',
      'etcd eu-central-1a 10.64.27.0/24',
      'etcd eu-central-1b 10.64.28.0/24',
      'etcd eu-central-1c 10.64.29.0/24',
    ]);
    expect(spare.map(formatPrefix)).toEqual(['10.64.30.0/24', '10.64.31.0/24']);
  });

  test('lets no two subnets overlap', () => {
    property((plan) => {
      const all = blocks(plan);
      all.forEach((a, i) => {
        for (const b of all.slice(i + 1)) expect(prefixesOverlap(a, b)).toBe(false);
      });
    });
  });

  test('leaves no gap: subnets and spare blocks make up the VPC', () => {
    property((plan, vpc) => {
      const all = blocks(plan);
      let next: number = vpc.base;
      for (const block of all) {
        expect(block.base).toBe(next);
        next = lastAddress(block) + 1;
      }
      expect(next).toBe(lastAddress(vpc) + 1);
    });
  });

  test('stays inside the VPC and within the sizes of AWS', () => {
    property((plan, vpc) => {
      for (const { prefix } of plan.subnets) {
        expect(prefixCovers(vpc, prefix)).toBe(true);
        expect(prefix.length).toBeLessThanOrEqual(SMALLEST_SUBNET);
        expect(usableAddresses(prefix)).toBeGreaterThan(0);
      }
    });
  });

  test('has one subnet of each role in each zone', () => {
    property((plan, _, names) => {
      for (const role of ['private', 'public', 'etcd'] as const) {
        expect(plan.subnets.filter((subnet) => subnet.role === role).map(({ zone }) => zone)).toEqual(names);
      }
    });
  });

  test('renumbers nothing when zones are added', () => {
    property((plan, vpc) => {
      const grown = planSubnets(vpc, ZONES).subnets;
      expect(grown).toEqual(expect.arrayContaining([...plan.subnets]));
    });
  });

  test('gives most addresses to nodes', () => {
    property((plan, vpc) => {
      for (const { role, prefix } of plan.subnets) expect(prefix.length - vpc.length).toBe(role === 'private' ? 2 : 5);
    });
  });

  test.each([
    ['10.0.0.0/15', /^VPC 10\.0\.0\.0\/15 cannot be divided .* from 16 to 23/],
    ['10.64.0.0/24', /^VPC 10\.64\.0\.0\/24 cannot be divided/],
    ['10.100.0.0/19', /^VPC 10\.100\.0\.0\/19 overlaps 10\.96\.0\.0\/12, Kubernetes' services/],
    ['172.17.32.0/19', /^VPC 172\.17\.32\.0\/19 overlaps 172\.17\.0\.0\/16, Docker's bridge/],
  ])('refuses %s', (range, sentence) => {
    expect(() => planSubnets(parsePrefix(range, 4), ZONES)).toThrow(sentence);
  });

  test.each([[[]], [['a', 'a']], [['a', 'b', 'c', 'd']]])('refuses the zones %j', (names) => {
    expect(() => planSubnets(parsePrefix('10.64.0.0/19'), names)).toThrow(/name 1 to 3 different ones/);
  });
});

describe('checkPods()', () => {
  test('refuses ranges that others use', () => {
    expect(() => checkPods(parsePrefix('10.96.0.0/16'))).toThrow(/Pod CIDR 10\.96\.0\.0\/16 overlaps 10\.96\.0\.0\/12/);
    expect(() => checkPods(parsePrefix('172.16.0.0/12'))).toThrow(/Docker's bridge/);
    expect(() => checkPods(parsePrefix('10.244.0.0/16'))).not.toThrow();
  });
});

describe('placeEtcd() and placeNodes()', () => {
  test('spread over the zones, at fixed addresses', () => {
    const plan = planSubnets(parsePrefix('10.64.0.0/19'), ZONES);
    expect(placeEtcd(plan, 5).map(({ name, address }) => `${name} ${formatIp(address)}`)).toEqual([
      'etcd-0 10.64.27.10',
      'etcd-1 10.64.28.10',
      'etcd-2 10.64.29.10',
      'etcd-3 10.64.27.11',
      'etcd-4 10.64.28.11',
    ]);
    expect(placeNodes(plan, 4).map(({ name, zone, address }) => `${name} ${zone} ${formatIp(address)}`)).toEqual([
      'node-0 eu-central-1a 10.64.0.16',
      'node-1 eu-central-1b 10.64.8.16',
      'node-2 eu-central-1c 10.64.16.16',
      'node-3 eu-central-1a 10.64.0.17',
    ]);
  });

  test('give different addresses that a machine can have', () => {
    fc.assert(
      fc.property(vpcs, zones, fc.integer({ min: 1, max: 40 }), (vpc, names, count) => {
        const plan = planSubnets(vpc, names);
        const placed = placeNodes(plan, count);
        expect(new Set(placed.map(({ address }) => address)).size).toBe(count);
        for (const { zone, address } of placed) {
          const { prefix } = plan.subnets.find((subnet) => subnet.role === 'private' && subnet.zone === zone)!;
          expect(prefixContains(prefix, address)).toBe(true);
          expect(address - prefix.base).toBeGreaterThanOrEqual(RESERVED_ADDRESSES - 1);
          expect(address).toBeLessThan(lastAddress(prefix));
        }
      }),
    );
  });

  test('move nobody when one more is asked for', () => {
    const plan = planSubnets(parsePrefix('10.64.0.0/19'), ZONES.slice(0, 2));
    expect(placeNodes(plan, 9).slice(0, 8)).toEqual(placeNodes(plan, 8));
  });

  test('say when a subnet is full', () => {
    const plan = planSubnets(parsePrefix('10.64.0.0/23'), ZONES.slice(0, 1));
    expect(placeEtcd(plan, 5)).toHaveLength(5);
    expect(() => placeEtcd(plan, 6)).toThrow(/^Subnet 10\.64\.1\.\d+\/28 of eu-central-1a has no address for etcd-5/);
    expect(() => checkNodesFit(plan, 123)).not.toThrow();
    expect(() => checkNodesFit(plan, 124)).toThrow(/has room for 123 nodes in eu-central-1a, 124 are asked for/);
  });
});
