import type { Status } from '@flannel-ts/daemon/operate/status';
import type { NodeState } from './daemons.ts';
import { formatNodes, formatPods, formatStack } from './nodes.ts';
import { formatNodeTroubles, isWell, remedyFromHere } from './troubles.ts';

const NOW = Date.parse('2026-03-01T12:00:00Z');

const STATUS: Status = {
  version: '0.1.0',
  pid: 7,
  upSeconds: 60,
  ready: true,
  troubles: [],
  details: [],
  source: null,
  node: {
    subnets: '10.244.7.0/24',
    backend: 'udp',
    networkConfig: {},
    interface: 'eth0',
    address: '10.64.0.16',
    leaseEnds: '2026-03-02T11:00:00.000Z',
    engine: 'fast',
    engineRuns: true,
    devices: [],
  },
  peers: [2.1, 40, null].map((lastAnswerSecondsAgo, i) => ({
    ...{ subnet: `10.244.${i}.0/24`, address: `10.64.0.2${i}`, node: `10.64.0.2${i}`, lastAnswerSecondsAgo },
    ...{ roundTripMs: null, largePackets: 'unknown' as const, traffic: null },
  })),
};
const TROUBLED: Status = {
  ...STATUS,
  ready: false,
  troubles: [
    { part: 'reach', trouble: 'nobody answers', remedy: 'ping -c 3 10.64.0.17', forSeconds: 42 },
    { part: 'engine', trouble: 'not yet started', remedy: 'journalctl -u flanneld', forSeconds: 3 },
  ],
  details: ['reach: 1 of 2 other nodes does not answer'],
};
const NODES = [0, 1].map((i) => ({ name: `node-${i}`, address: `10.64.0.1${6 + i}`, podSubnet: `10.244.${i}.0/24` }));
const PODS = NODES.map(({ name: node }, i) => ({ name: `pod-${i}-0`, node, address: `10.244.${i}.2`, netns: '' }));
const states = (...all: NodeState[]) => new Map(all.map((state, i) => [`node-${i}`, state]));

test('formatNodes() shows what each flanneld says of its lease, its backend and the other nodes', () => {
  const found = states({ health: 'ready', status: STATUS }, { health: 'down, 3 restarts', problem: 'gone' });
  expect(formatNodes(NODES, found, 120, NOW).split('\n')).toEqual([
    '  NODE    ADDRESS     PODS FROM      FLANNELD          PEERS                      LEASE ENDS  BACKEND',
    '  node-0  10.64.0.16  10.244.7.0/24  ready             2 of 3 answered, 40 s ago  in 23 h     udp, fast engine',
    '  node-1  10.64.0.17  10.244.1.0/24  down, 3 restarts  -                          -           -',
  ]);
});

test('formatNodes() counts nodes, not the subnets of both families that they have', () => {
  const peers = STATUS.peers!.flatMap((peer) => [peer, { ...peer, subnet: 'fd00::/64', address: '2001:db8::1' }]);
  const found = states({ health: 'ready', status: { ...STATUS, peers } });
  expect(formatNodes(NODES, found, 120, NOW)).toContain('2 of 3 answered');
});

test('formatNodes() has a line for the subnet of each family', () => {
  const node = { ...STATUS.node!, subnets: '10.244.0.0/24,fd00:5:0:1::/64' };
  const lines = formatNodes(NODES, states({ health: 'ready', status: { ...STATUS, node } }), 120, NOW).split('\n');
  expect(lines[1]).toContain('node-0  10.64.0.16  10.244.0.0/24    ready');
  expect(lines[2]).toBe('                      fd00:5:0:1::/64');
});

test('formatNodes() says of a node that has just started no number that looks like a fault', () => {
  const found = states({ health: 'ready', status: { ...STATUS, upSeconds: 2 } });
  expect(formatNodes(NODES, found, 120, NOW)).toContain('first answers are awaited');
});

test('formatStack() names the backend that the nodes run, and the stored one where none can be asked', () => {
  const outputs = {
    network: { vpcCidr: '10.64.0.0/19', podCidr: '10.244.0.0/16', subnetLength: 24, backend: { Type: 'udp' } },
    nodes: NODES,
    pods: PODS,
    etcdEndpoints: [],
    artifact: { version: '0.1.0', sha256: '' },
  };
  const ofBackend = (backend: string) => ({ health: '', status: { ...STATUS, node: { ...STATUS.node!, backend } } });
  expect(formatStack(outputs, new Map(), 200)).toContain('backend udp,');
  expect(formatStack(outputs, states(ofBackend('vxlan')), 200)).toContain('backend vxlan,');
  expect(formatStack(outputs, states(ofBackend('vxlan'), ofBackend('udp')), 200)).toContain('backend vxlan and udp,');
});

test('formatNodes() shows of the nodes of a cloud what the outputs say', () => {
  expect(formatNodes(NODES, new Map(), 120, NOW).split('\n')[0]).toBe('  NODE    ADDRESS     PODS FROM');
});

test.each([120, 80, 60, 40])('all of it fits %d columns', (width) => {
  const found = states({ health: 'ready', status: STATUS }, { health: 'not ready, 12 restarts', status: TROUBLED });
  const outputs = {
    network: { vpcCidr: '10.64.0.0/19', podCidr: '10.244.0.0/16', subnetLength: 24, backend: { Type: 'udp' } },
    nodes: NODES,
    pods: PODS,
    etcdEndpoints: ['https://10.64.0.4:2379'],
    artifact: { version: '0.1.0', sha256: 'abcdef0123456789' },
  };
  const text = [
    formatStack(outputs, found, width),
    formatNodes(NODES, found, width, NOW),
    formatPods(NODES, [...PODS, ...PODS, ...PODS], width),
    formatNodeTroubles('mine', found, width),
  ].join('\n');
  for (const line of text.split('\n')) expect(line.length).toBeLessThanOrEqual(width);
  expect(text.replaceAll(/\s+/g, ' ')).toContain('-> npm run shell -- --stack mine node-1 ping -c 3 10.64.0.17');
});

test('formatNodeTroubles() names node, part, time and remedy, and is silent about a node that is well', () => {
  const found = states({ health: 'ready', status: STATUS }, { health: 'not ready', status: TROUBLED });
  expect(formatNodeTroubles('local', found, 80).split('\n')).toEqual([
    'NOT WELL: node-1',
    '  reach, for 42 s',
    '    nobody answers',
    '    -> npm run shell -- node-1 ping -c 3 10.64.0.17',
    '  not yet started: engine',
    '',
    'WORTH KNOWING: node-1',
    '  reach: 1 of 2 other nodes does not answer',
  ]);
});

test('a node that says nothing is not well, and its log is where to look', () => {
  const silent = { health: 'down', problem: 'no flanneld runs here' };
  expect(formatNodeTroubles('local', states(silent), 200)).toBe(
    'NOT WELL: node-0\n  no flanneld runs here. "npm run logs -- node-0" shows its log, "npm run up" repairs what is broken',
  );
  expect([isWell(silent), isWell({ health: '', status: TROUBLED }), isWell({ health: '', status: STATUS })]).toEqual([
    false,
    false,
    true,
  ]);
});

test.each([
  [
    'ip link set eth0 up; ip address show eth0',
    "npm run shell -- node-1 sh -c 'ip link set eth0 up; ip address show eth0'",
  ],
  ['journalctl -u flanneld', 'npm run logs -- node-1'],
  ['etcdctl --endpoints https://x endpoint health', 'npm run shell -- etcd-0 etcdctl endpoint health'],
  ['etcdctl --endpoints https://x get /config', 'npm run shell -- etcd-0 etcdctl get /config'],
  ['choose the interface with -iface', 'choose the interface with -iface'],
])('remedyFromHere() of "%s"', (remedy, here) => {
  expect(remedyFromHere('local', 'node-1', remedy)).toBe(here);
});
