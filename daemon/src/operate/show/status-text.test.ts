import type { Status } from '../status.ts';
import { formatStatus } from './status-text.ts';

const NOW = Date.parse('2026-03-01T12:00:00Z');

const traffic = (sentBytes: number, receivedBytes: number) => ({
  ...{ sentPackets: 1, receivedPackets: 1 },
  ...{ sentBytes, receivedBytes },
});

const READY: Status = {
  version: '1.2.3',
  pid: 7,
  upSeconds: 7500,
  ready: true,
  troubles: [],
  details: [],
  source: {
    name: 'etcd',
    member: 'https://10.64.0.4:2379',
    silentSeconds: 1.2,
    failovers: 0,
    resyncs: 0,
    servesKept: false,
  },
  node: {
    networkConfig: {},
    subnets: '10.5.1.0/24',
    backend: 'udp',
    interface: 'eth0',
    address: '10.64.0.16',
    leaseEnds: '2026-03-02T11:00:00.000Z',
    engine: 'fast',
    engineRuns: true,
    devices: [{ name: 'flannel0', dropped: 0, ...traffic(1500, 2e6) }],
  },
  peers: [
    {
      subnet: '10.5.2.0/24',
      address: '10.64.0.17',
      node: '10.64.0.17',
      lastAnswerSecondsAgo: 2.1,
      roundTripMs: 0.312,
      largePackets: 'passes',
      traffic: traffic(1500, 2e6),
    },
    {
      subnet: '10.5.3.0/24',
      address: '10.64.0.18',
      node: '10.64.0.18',
      lastAnswerSecondsAgo: null,
      roundTripMs: null,
      largePackets: 'unknown',
      traffic: traffic(0, 0),
    },
  ],
  refused: [],
};

const TROUBLED: Status = {
  ...READY,
  ready: false,
  troubles: [
    { part: 'reach', trouble: `nobody answers ${'and so on '.repeat(20)}`.trim(), remedy: 'ping', forSeconds: 42 },
    { part: 'kernel', trouble: 'not yet started', remedy: 'ip link', forSeconds: 3 },
    { part: 'engine', trouble: 'not yet started', remedy: 'journalctl', forSeconds: 3 },
  ],
  details: ['reach: 1 of 2 other nodes does not answer'],
};

test('a ready node in 80 columns: lease, backend, devices, etcd, and the other nodes, silent ones first', () => {
  expect(formatStatus(READY, 80, NOW).split('\n')).toEqual([
    'flanneld 1.2.3 (process 7, up 2 h 5 min) is ready',
    '',
    'node      10.64.0.16 on eth0',
    'lease     10.5.1.0/24, ends in 23 h unless renewed',
    'backend   udp, fast engine',
    'flannel0  sent 1.5 kB, received 2.0 MB',
    'etcd      https://10.64.0.4:2379, last heard 1.2 s ago',
    '',
    'PEER        SUBNET       ANSWERED   ROUND TRIP    SENT  RECEIVED',
    '10.64.0.18  10.5.3.0/24  never               -     0 B       0 B',
    '10.64.0.17  10.5.2.0/24  2.1 s ago     0.31 ms  1.5 kB    2.0 MB',
  ]);
});

test('what is not well: since when, what to do, and what only waits in one line', () => {
  const text = formatStatus(TROUBLED, 80, NOW);
  expect(text).toContain('is not ready\n');
  expect(text).toMatch(/NOT WELL\n {2}reach, for 42 s\n {4}nobody answers [\s\S]*\n {4}-> ping\n/);
  expect(text).toContain('  not yet started: kernel, engine');
  expect(text).toContain('WORTH KNOWING\n  reach: 1 of 2 other nodes does not answer');
});

test.each([80, 60, 40])('no line is wider than %d columns', (width) => {
  for (const status of [READY, TROUBLED]) {
    for (const line of formatStatus(status, width, NOW).split('\n')) {
      if (line.startsWith('flanneld ')) continue;
      expect(line.length).toBeLessThanOrEqual(width);
    }
  }
});

test('where the kernel forwards there are no columns of traffic, and no engine', () => {
  const { engine: _, engineRuns: __, ...node } = READY.node!;
  const peers = READY.peers!.map((peer) => ({ ...peer, traffic: null }));
  const text = formatStatus({ ...READY, node: { ...node, backend: 'vxlan' }, peers }, 80, NOW);
  expect(text).toContain('backend   vxlan\n');
  expect(text).not.toContain('RECEIVED');
});

test('before there is a lease it says what is waited for', () => {
  const { node: _, peers: __, refused: ___, ...early } = TROUBLED;
  expect(formatStatus(early, 80, NOW)).toContain('not ready\n\netcd  https://10.64.0.4:2379');
});
