import { type NetworkConfig, parseNetworkConfig } from '@flannel-ts/flannel/network-config';
import { planRules, type Rule, type RulePlan } from './security.ts';

function backend(json: string): NetworkConfig['backend'] {
  return parseNetworkConfig(`{"Network":"10.244.0.0/16","Backend":${json}}`).backend;
}

const BASE: RulePlan = {
  backend: backend('{"Type":"udp"}'),
  vpcCidr: '10.64.0.0/19',
  podCidr: '10.244.0.0/16',
  internet: true,
  endpoints: false,
};

const BACKENDS = [
  '{"Type":"udp"}',
  '{"Type":"vxlan"}',
  '{"Type":"vxlan","DirectRouting":true}',
  '{"Type":"host-gw"}',
  '{"Type":"ipip"}',
  '{"Type":"ipip","DirectRouting":true}',
  '{"Type":"wireguard"}',
];
const PLANS: RulePlan[] = BACKENDS.flatMap((json) =>
  [true, false].flatMap((internet) =>
    [true, false].map((endpoints) => ({ ...BASE, backend: backend(json), internet, endpoints })),
  ),
);

/** As a person would write it. */
function line({ direction, group, peer, protocol, ports, reason }: Rule): string {
  const other = 'group' in peer ? peer.group : 'range' in peer ? peer.range : peer.service;
  const what = [protocol, ...(ports === undefined ? [] : [ports.join('-')])].join(' ');
  return `${group} ${direction === 'in' ? '<-' : '->'} ${other}: ${what} (${reason})`;
}

describe('planRules()', () => {
  test('of the udp backend are these', () => {
    expect(planRules(BASE).map(line)).toMatchSnapshot();
  });

  test('of a VPC without a way out are these', () => {
    expect(planRules({ ...BASE, internet: false, endpoints: true }).map(line)).toMatchSnapshot();
  });

  test.each([
    ['{"Type":"udp"}', 'udp 8285-8285'],
    ['{"Type":"udp","Port":9000}', 'udp 9000-9000'],
    ['{"Type":"vxlan"}', 'udp 8472-8472'],
    ['{"Type":"vxlan","Port":4789}', 'udp 4789-4789'],
    ['{"Type":"wireguard"}', 'udp 51820-51820'],
    ['{"Type":"wireguard","ListenPort":51900,"Mode":"auto"}', 'udp 51900-51900'],
    ['{"Type":"ipip"}', '4 (packets of pods in IPv4, ipip backend)'],
  ])('let nodes exchange what %s sends, and nothing else', (json, traffic) => {
    const rules = planRules({ ...BASE, backend: backend(json) });
    const lines = rules
      .filter(({ group, peer }) => group === 'node' && 'group' in peer && peer.group === 'node')
      .map(line);
    expect(lines).toHaveLength(2);
    for (const each of lines) expect(each).toContain(traffic);
  });

  test.each(['{"Type":"host-gw"}', '{"Type":"vxlan","DirectRouting":true}', '{"Type":"ipip","DirectRouting":true}'])(
    'let packets of pods through by their addresses for %s',
    (json) => {
      const rules = planRules({ ...BASE, backend: backend(json) });
      const pods = rules.filter(({ peer }) => 'range' in peer && peer.range === BASE.podCidr);
      expect(pods.map(({ direction, protocol }) => [direction, protocol])).toEqual([
        ['in', '-1'],
        ['out', '-1'],
      ]);
    },
  );

  test('let nobody in from outside the VPC and the pods', () => {
    for (const plan of PLANS) {
      for (const { direction, peer } of planRules(plan)) {
        if (direction === 'in' && 'range' in peer) expect([plan.vpcCidr, plan.podCidr]).toContain(peer.range);
      }
    }
  });

  test('let nobody in by SSH', () => {
    const holds22 = ({ protocol, ports }: Rule) => protocol === 'tcp' && ports![0] <= 22 && 22 <= ports![1];
    for (const plan of PLANS) expect(planRules(plan).filter(holds22)).toEqual([]);
  });

  test('let nothing out to the internet where there is no way', () => {
    for (const plan of PLANS.filter(({ internet }) => !internet)) {
      expect(planRules(plan).filter(({ peer }) => 'range' in peer && peer.range === '0.0.0.0/0')).toEqual([]);
    }
  });

  test('of two groups match: what one sends the other lets in', () => {
    for (const plan of PLANS) {
      const rules = planRules(plan);
      for (const { group, direction, peer, id } of rules) {
        if (!('group' in peer)) continue;
        const back = direction === 'in' ? 'out' : 'in';
        const others = rules.filter((other) => {
          return other.id === id && other.direction === back && other.group === peer.group && 'group' in other.peer;
        });
        expect(others.map((other) => other.peer)).toContainEqual({ group });
      }
    }
  });

  test('are there once: AWS refuses a rule that is another one again', () => {
    for (const plan of PLANS) {
      const rules = planRules(plan);
      const facts = rules.map(({ group, direction, peer, protocol, ports }) => {
        return JSON.stringify([group, direction, peer, protocol, ports]);
      });
      expect(new Set(facts).size).toBe(rules.length);
      expect(new Set(rules.map(({ group, direction, id }) => `${group} ${direction} ${id}`)).size).toBe(rules.length);
    }
  });

  test('have reasons that AWS takes as descriptions', () => {
    for (const plan of PLANS) {
      for (const { reason } of planRules(plan)) expect(reason).toMatch(/^[a-zA-Z0-9 ._\-:/()#,@[\]+=&;{}!$*]{1,255}$/);
    }
  });

  test('name the endpoints only where there are some', () => {
    for (const plan of PLANS.filter(({ endpoints }) => !endpoints)) {
      expect(JSON.stringify(planRules(plan))).not.toContain('endpoint');
    }
  });
});
