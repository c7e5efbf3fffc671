import { formatPrefix, type Prefix, parsePrefix, subnetCount } from '@flannel-ts/inet/prefix';
import fc from 'fast-check';
import {
  type AddressingPlan,
  checkAddressing,
  checkPodsFit,
  checkSubnetsSuffice,
  maximalNodes,
  podPool,
} from './addressing.ts';
import { FlannelError } from './errors.ts';

const GOOD: AddressingPlan = {
  vpc: parsePrefix('10.64.0.0/19'),
  pods: parsePrefix('10.244.0.0/16'),
  subnetLength: 24,
  nodes: 3,
  podsPerNode: 2,
  mtu: 1500,
  backend: { Type: 'udp' },
};

function problemsOf(change: Partial<AddressingPlan>): string[] {
  const result = checkAddressing({ ...GOOD, ...change });
  return result.ok ? [] : result.problems.map((problem) => problem.message);
}

describe('addressing', () => {
  test('checkAddressing() gives the config of a sound plan', () => {
    const result = checkAddressing(GOOD);
    expect(result.ok && result.config.backend).toEqual({ type: 'udp', port: 8285 });
    expect(result.ok && formatPrefix(podPool(result.config).network)).toBe('10.244.0.0/16');
  });

  test.each([
    [
      { pods: parsePrefix('10.64.16.0/20') },
      'Pod CIDR 10.64.16.0/20 overlaps VPC CIDR 10.64.0.0/19: an address could belong to a pod and to a machine, use ranges that do not overlap',
    ],
    [{ pods: parsePrefix('169.254.0.0/16') }, 'Pod CIDR 169.254.0.0/16 overlaps 169.254.0.0/16, which is link-local'],
    [
      { nodes: 300 },
      'Pod CIDR 10.244.0.0/16 has 255 subnets of length 24 for 300 nodes: use a pod CIDR of /15 or wider, or a subnet length of 25 or more, or 255 nodes or fewer',
    ],
    [
      { podsPerNode: 300 },
      'Subnet length 24 has 253 pod addresses for 300 pods on a node: use a subnet length of 23 or less, or fewer pods',
    ],
    [{ mtu: 600 }, 'MTU 600 leaves 572 bytes inside the udp backend, IPv4 needs 576: set an MTU of 604 or more'],
    [{ backend: { Type: 'gre' } }, 'Unknown backend type: gre, use one of udp, '],
  ])('checkAddressing() tells what is wrong with %j', (change, message) => {
    expect(problemsOf(change)).toEqual([expect.stringContaining(message)]);
  });

  test('checkAddressing() reports every problem at once', () => {
    expect(problemsOf({ pods: parsePrefix('10.64.0.0/19'), nodes: 100, backend: { Type: 'x' } })).toHaveLength(3);
  });

  test('checkSubnetsSuffice() proposes only what helps, and never more than needed', () => {
    const pods = fc.integer({ min: 8, max: 28 }).map((length): Prefix<4> => ({ ...GOOD.pods, length }));
    fc.assert(
      fc.property(
        pods,
        fc.integer({ min: 8, max: 30 }),
        fc.integer({ min: 1, max: 5000 }),
        (network, length, nodes) => {
          try {
            checkSubnetsSuffice(network, length, nodes);
            expect(subnetCount(network, length) - 1).toBeGreaterThanOrEqual(nodes);
          } catch (error) {
            expect(error).toBeInstanceOf(FlannelError);
            const wider = /of \/(\d+) or wider/.exec((error as Error).message)?.[1];
            const longer = /length of (\d+) or more/.exec((error as Error).message)?.[1];
            if (wider !== undefined) {
              expect(maximalNodes({ ...network, length: Number(wider) }, length)).toBeGreaterThanOrEqual(nodes);
              expect(maximalNodes({ ...network, length: Number(wider) + 1 }, length)).toBeLessThan(nodes);
            }
            if (longer !== undefined) expect(maximalNodes(network, Number(longer))).toBeGreaterThanOrEqual(nodes);
          }
        },
      ),
    );
  });

  test('checkPodsFit() leaves room for base, bridge and broadcast address', () => {
    checkPodsFit(24, 253);
    checkPodsFit(30, 1);
    expect(() => checkPodsFit(24, 254)).toThrow('253 pod addresses');
    expect(() => checkPodsFit(30, 2)).toThrow('use a subnet length of 29 or less');
  });
});
