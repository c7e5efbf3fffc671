import fc from 'fast-check';
import {
  CHECK_SETTINGS,
  type CheckResult,
  complete,
  failures,
  type Node,
  onePerNode,
  type Pod,
  planChecks,
} from './checks.ts';

function cluster(count: number, each: number): { pods: Pod[]; nodes: Node[] } {
  const nodes = Array.from({ length: count }, (_, i) => ({ name: `node-${i}`, address: `10.64.0.${16 + i}` }));
  const pods = nodes.flatMap((node, i) =>
    Array.from({ length: each }, (_, j) => ({
      name: `pod-${i}-${j}`,
      node: node.name,
      address: `10.244.${i}.${2 + j}`,
    })),
  );
  return { pods, nodes };
}

test('onePerNode() selects the first pod of each node, in their order', () => {
  expect(onePerNode(cluster(3, 2).pods).map(({ name }) => name)).toEqual(['pod-0-0', 'pod-1-0', 'pod-2-0']);
});

describe('planChecks()', () => {
  test('asks every ordered pair of pods on different nodes once, and no pair on the same node', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 3 }), (count, each) => {
        const { pods, nodes } = cluster(count, each);
        const pairs = planChecks(pods, nodes, [], CHECK_SETTINGS).flatMap(({ pod, plan }) =>
          plan.targets.map(({ name }) => [pod, pods.find((other) => other.name === name)!] as const),
        );
        expect(pairs).toHaveLength(count * each * (count - 1) * each);
        expect(new Set(pairs.map(([from, to]) => `${from.name} ${to.name}`)).size).toBe(pairs.length);
        expect(pairs.every(([from, to]) => from.node !== to.node)).toBe(true);
      }),
    );
  });

  test("asks about other nodes' own addresses only where somebody listens", () => {
    const { pods, nodes } = cluster(3, 1);
    const [first] = planChecks(pods, nodes, nodes.slice(0, 2), CHECK_SETTINGS);
    expect(first!.plan.self).toEqual({ name: 'pod-0-0', address: '10.244.0.2', nodeAddress: '10.64.0.16' });
    expect(first!.plan.targets.map(({ name, checks }) => `${name} ${checks.length}`)).toEqual([
      'pod-1-0 7',
      'pod-2-0 7',
      'node-1 1',
    ]);
  });
});

describe('complete()', () => {
  const { pods, nodes } = cluster(2, 1);
  const plans = planChecks(pods, nodes, [], CHECK_SETTINGS);
  const good: CheckResult[] = plans.flatMap(({ plan }) =>
    plan.targets.flatMap(({ name, checks }) =>
      checks.map((check) => ({ from: plan.self.name, to: name, check, milliseconds: 1 })),
    ),
  );

  test('keeps what was found', () => {
    expect(complete(plans, good)).toEqual(good);
    expect(failures(complete(plans, good))).toEqual([]);
  });

  test('treats silence as a failure, and says why where that is known', () => {
    const half = good.filter(({ from }) => from === 'pod-0-0');
    expect(
      failures(complete(plans, half, new Map([['pod-1-0', 'ended with 1']]))).map(({ problem }) => problem),
    ).toEqual(Array(7).fill('ended with 1'));
    expect(failures(complete(plans, good.slice(1)))).toEqual([
      { ...good[0], milliseconds: 0, problem: 'the probe said nothing about it' },
    ]);
  });
});
