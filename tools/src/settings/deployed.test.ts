import { describeDeployed, findLosses, formatLosses, type Resource, restoreSettings } from './deployed.ts';

function resource(type: string, name: string, more: Partial<Resource> = {}): Resource {
  return { type, urn: `urn:pulumi:x::flannel::${type}::${name}`, ...more };
}

const local = (kind: string, name: string, inputs = {}) =>
  resource(`pulumi-nodejs:dynamic/local:${kind}`, name, { inputs });

const OUTPUTS = {
  network: {
    vpcCidr: '10.64.0.0/19',
    podCidr: '10.244.0.0/16',
    subnetLength: 24,
    backend: { Type: 'udp', Port: 8285 },
  },
};

const STATE = [
  resource('pulumi:pulumi:Stack', 'flannel-x', { outputs: OUTPUTS }),
  local('Machine', 'etcd-0', { mtu: 1400 }),
  ...[0, 1].flatMap((node) => [
    local('Machine', `node-${node}`, { mtu: 1400 }),
    ...[0, 1, 2].map((pod) => local('Sandbox', `pod-${node}-${pod}`)),
  ]),
];
const DEFAULTS = new Map([
  ['nodes', '3'],
  ['podsPerNode', '2'],
  ['etcdMembers', '1'],
  ['vpcCidr', '10.64.0.0/19'],
  ['podCidr', '10.244.0.0/16'],
  ['subnetLength', '24'],
  ['mtu', '1500'],
  ['backend', '{"Type":"udp"}'],
]);
const NOTHING = new Set<string>();

test('describeDeployed() counts machines and pods, and leaves out what is about to be deleted', () => {
  const doomed = { ...local('Machine', 'node-7'), delete: true };
  const deployed = describeDeployed([...STATE, doomed])!;
  expect(deployed.environment).toBe('local');
  expect(Object.fromEntries(deployed.settings)).toMatchObject({
    nodes: '2',
    podsPerNode: '3',
    etcdMembers: '1',
    mtu: '1400',
    vpcCidr: '10.64.0.0/19',
  });
});

test('describeDeployed() sees a cloud by its resources, and an empty state as nothing', () => {
  const cloud = [
    resource('pulumi:pulumi:Stack', 'flannel-x', { outputs: { ...OUTPUTS, nodes: [{}, {}], etcdEndpoints: [''] } }),
    resource('aws:ec2/vpc:Vpc', 'network'),
  ];
  expect(describeDeployed(cloud)).toMatchObject({ environment: 'aws' });
  expect(describeDeployed(cloud)!.settings.get('nodes')).toBe('2');
  expect(describeDeployed([resource('pulumi:pulumi:Stack', 'flannel-x')])).toBeUndefined();
});

test('findLosses() names what would go without having been asked for', () => {
  const deployed = describeDeployed(STATE)!;
  const settings = new Map([...DEFAULTS, ['nodes', '1'], ['podsPerNode', '5'], ['vpcCidr', '10.65.0.0/19']]);
  const losses = findLosses(deployed, settings, NOTHING);
  expect(formatLosses(losses)).toBe(
    'nodes is 2 as deployed and 1 in the settings; vpcCidr is 10.64.0.0/19 as deployed and 10.65.0.0/19 in the settings',
  );
  expect(findLosses(deployed, settings, new Set(['nodes', 'vpcCidr']))).toEqual([]);
});

describe('findLosses() of the backend', () => {
  const backends = (text: string, state = STATE) =>
    formatLosses(findLosses(describeDeployed(state)!, new Map([['backend', text]]), NOTHING));

  test('names one that was edited in the file', () => {
    expect(backends('{"Type":"udp","Port":8299}')).toBe(
      'backend is {"Type":"udp","Port":8285} as deployed and {"Type":"udp","Port":8299} in the settings',
    );
    expect(backends('{"Type":"vxlan"}')).toContain('{"Type":"vxlan"} in the settings');
    expect(
      findLosses(describeDeployed(STATE)!, new Map([['backend', '{"Type":"vxlan"}']]), new Set(['backend'])),
    ).toEqual([]);
  });

  test('knows defaults that are left out', () => {
    expect(backends('{"Type":"udp"}')).toBe('');
    expect(backends('{"Port":8285,"Type":"UDP"}')).toBe('');
  });

  test.each([
    ['local', local('EtcdKey', 'network-config', { value: '{"Network":"10.244.0.0/16","Backend":{"Type":"vxlan"}}' })],
    [
      'aws',
      resource('aws:ssm/parameter:Parameter', 'x', {
        inputs: { name: '/flannel/x/network', insecureValue: '{"Network":"10.244.0.0/16","Backend":{"Type":"vxlan"}}' },
      }),
    ],
  ])('asks nothing when an interrupted change goes on, in %s', (_, written) => {
    expect(backends('{"Type":"vxlan"}', [...STATE, written])).toBe('');
    expect(backends('{"Type":"udp"}', [...STATE, written])).not.toBe('');
  });
});

test('restoreSettings() gives what differs from the defaults', () => {
  const deployed = describeDeployed(STATE)!;
  expect(restoreSettings(deployed, DEFAULTS, NOTHING)).toEqual({ nodes: '2', podsPerNode: '3', mtu: '1400' });
  expect(restoreSettings(deployed, DEFAULTS, new Set(['nodes']))).toEqual({ podsPerNode: '3', mtu: '1400' });
});
