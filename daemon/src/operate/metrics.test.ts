import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseLeaseKey, parseLeaseValue } from '@flannel-ts/flannel/lease';
import { parseNetworkConfig } from '@flannel-ts/flannel/network-config';
import { parseIp } from '@flannel-ts/inet/ip';
import { parsePrefix } from '@flannel-ts/inet/prefix';
import { externalAt } from '../../testing/external.ts';
import { Control } from '../datapath/tun/engine/control.ts';
import { PEER_FIELD, PEER_STRIDE, setAbility, TOTAL } from '../datapath/tun/engine/shared.ts';
import { slotOf } from '../datapath/tun/engine/slots.ts';
import { Tables } from '../datapath/tun/engine/tables.ts';
import { Underlay } from '../datapath/tun/engine/underlay.ts';
import { type Facts, METRICS, MOST_PEERS, renderMetrics } from './metrics.ts';
import type { PeerReach } from './reach/table.ts';

const PAGE = path.resolve(__dirname, '../../../docs/metrics.md');

const DAEMON: Facts = {
  version: '1.2.3',
  ready: false,
  parts: [
    ['lease', false],
    ['subnet file', true],
  ],
  residentBytes: 5e7,
  cpuSeconds: 0.25,
  perPeer: true,
};

const REACH: PeerReach = {
  subnet: parsePrefix('10.2.0.0/24'),
  peer: parseIp('192.0.2.2'),
  node: parseIp('192.0.2.2'),
  silentMs: 1500,
  answered: true,
  rttMs: 0.25,
  pathMtu: 'passes',
  pathLimit: undefined,
};

function serving(): Facts {
  const control = new Control();
  const peer = parseIp('192.0.2.2');
  control.setRoutes([{ subnet: parsePrefix('10.2.0.0/24'), peer }]);
  const tables = new Tables(control.shared, new Underlay(4, 8285));
  tables.refresh();
  const fields = slotOf(tables.routes.lookup(parseIp('10.2.0.1'))) * PEER_STRIDE;
  control.shared.peers[fields + PEER_FIELD.sentPackets] = 7;
  control.shared.peers[fields + PEER_FIELD.limit] = 1272;
  control.shared.peers[fields + PEER_FIELD.unsegmentedFrom] = 1473;
  control.shared.totals[TOTAL.sentPackets] = 2 ** 40;
  setAbility(control.shared, 'udpGro', 1);
  return {
    ...DAEMON,
    ready: true,
    serving: {
      config: parseNetworkConfig('{"Network":"10.0.0.0/8"}'),
      devices: ['flannel0'],
      external: externalAt(['192.0.2.1']),
      refused: [],
      reach: [REACH],
      source: {
        name: 'etcd',
        silentMs: 2500,
        member: 'http://10.0.0.1:2379',
        failovers: 2,
        resyncs: 3,
        servesKept: true,
      },
      restorations: 1,
      dataPath: {
        engine: 'fast',
        starts: 3,
        failures: 2,
        deviceDrops: 5,
        counters: { ...control.counters(), socketDrops: 6, strayDatagrams: 9 },
      },
      reconcile: { passes: 9, failedPasses: 1, changes: 4 },
      lease: {
        subnet: parsePrefix('10.1.0.0/24'),
        attributes: { publicIp: parseIp('192.0.2.1'), backendType: '' },
      },
      leaseEnd: 1_700_000_000_499,
      leases: 2,
    },
  };
}

describe('renderMetrics()', () => {
  test('shows before there is a lease what is known then', () => {
    expect(renderMetrics(DAEMON)).toBe(`# HELP flannel_build_info Always 1; the version of flanneld as a label.
# TYPE flannel_build_info gauge
flannel_build_info{version="1.2.3"} 1
# HELP flannel_ready Whether the node serves, as /readyz says.
# TYPE flannel_ready gauge
flannel_ready 0
# HELP flannel_part_well Whether a part of the daemon is well; the node is ready when all are.
# TYPE flannel_part_well gauge
flannel_part_well{part="lease"} 0
flannel_part_well{part="subnet_file"} 1
# HELP process_resident_memory_bytes Resident memory of flanneld.
# TYPE process_resident_memory_bytes gauge
process_resident_memory_bytes 50000000
# HELP process_cpu_seconds_total Processor time of flanneld, all threads.
# TYPE process_cpu_seconds_total counter
process_cpu_seconds_total 0.25
`);
  });

  test('shows the engine, the lease and the kernel afterwards', () => {
    const lines = renderMetrics(serving()).split('\n');
    expect(lines).toEqual(
      expect.arrayContaining([
        'flannel_ready 1',
        'flannel_engine_info{engine="fast"} 1',
        'flannel_engine_starts_total 3',
        'flannel_engine_sent_packets_total 1099511627776',
        'flannel_engine_dropped_packets_total{reason="no_route"} 0',
        'flannel_engine_offload_in_use{offload="udp_gro"} 1',
        'flannel_engine_offload_in_use{offload="udp_segment"} 0',
        'flannel_engine_peer_sent_packets_total{peer="192.0.2.2"} 7',
        'flannel_engine_path_limit_bytes{peer="192.0.2.2"} 1272',
        'flannel_engine_device_drops_total 5',
        'flannel_engine_socket_drops_total 6',
        'flannel_lease_info{subnet="10.1.0.0/24",public_ip="192.0.2.1"} 1',
        'flannel_lease_end_timestamp_seconds 1700000000',
        'flannel_reconcile_failed_passes_total 1',
        'flannel_sysctl_restorations_total 1',
        'flannel_source_silent_seconds{source="etcd"} 2.5',
        'flannel_source_serves_kept{source="etcd"} 1',
        'flannel_source_failovers_total{source="etcd"} 2',
        'flannel_source_resyncs_total{source="etcd"} 3',
        'flannel_reach_peers{state="answering"} 1',
        'flannel_reach_peer_silent_seconds{subnet="10.2.0.0/24",peer="192.0.2.2"} 1.5',
        'flannel_reach_peer_round_trip_seconds{subnet="10.2.0.0/24",peer="192.0.2.2"} 0.00025',
        'flannel_reach_peer_path_mtu_passes{subnet="10.2.0.0/24",peer="192.0.2.2"} 1',
      ]),
    );
  });

  test('counts a node with an address of each family once, and as silent when it is by one of them', () => {
    const facts = serving();
    const states = (silentMs: number) => {
      const other = { ...REACH, subnet: parsePrefix('fd00::/64'), peer: parseIp('2001:db8::2'), silentMs };
      const text = renderMetrics({ ...facts, serving: { ...facts.serving!, reach: [REACH, other] } });
      return [...text.matchAll(/^flannel_reach_peers\{state="(answering|silent)"\} (\d+)$/gm)].map(
        ([, , count]) => count,
      );
    };
    expect(states(100)).toEqual(['1', '0']);
    expect(states(60_000)).toEqual(['0', '1']);
  });

  test('shows the lease of a node that has both families, or IPv6 alone', () => {
    const facts = serving();
    const info = (key: string, value: string) => {
      const lease = { ...parseLeaseKey(key)!, attributes: parseLeaseValue(value) };
      const text = renderMetrics({ ...facts, serving: { ...facts.serving!, lease } });
      return text.split('\n').find((line) => line.startsWith('flannel_lease_info'));
    };
    const outer = '"BackendV6Data":{"Inner":"IPv6","Outer":"IPv6"}';
    expect(info('10.1.0.0-24&fd00::-64', '{"PublicIP":"192.0.2.1","PublicIPv6":"2001:db8::1"}')).toBe(
      'flannel_lease_info{subnet="10.1.0.0/24,fd00::/64",public_ip="192.0.2.1"} 1',
    );
    expect(info('0.0.0.0-0&fd00::-64', `{"PublicIP":"0.0.0.0","PublicIPv6":"2001:db8::1",${outer}}`)).toBe(
      'flannel_lease_info{subnet="fd00::/64",public_ip="2001:db8::1"} 1',
    );
  });

  test('has every metric of the table while an engine runs', () => {
    const text = renderMetrics(serving());
    for (const { name, type } of METRICS) expect(text).toContain(`# TYPE ${name} ${type}\n${name}`);
  });

  test('names no more than some peers, adds up the rest, and names none when that is off', () => {
    const facts = serving();
    const dataPath = facts.serving!.dataPath!;
    const counters = { sentPackets: 2, sentBytes: 3, receivedPackets: 4, receivedBytes: 5 };
    const one = [...dataPath.counters!.peers.values()][0]!;
    const address = (n: number) => parseIp(`10.64.${Math.floor(n / 256)}.${n % 256}`);
    const peers = new Map(Array.from({ length: MOST_PEERS + 10 }, (_, n) => [address(n), { ...one, ...counters }]));
    const many = { ...dataPath, counters: { ...dataPath.counters!, peers } };
    const lines = (perPeer: boolean) =>
      renderMetrics({ ...facts, perPeer, serving: { ...facts.serving!, dataPath: many } })
        .split('\n')
        .filter((line) => line.startsWith('flannel_engine_peer_sent_packets_total{'));
    expect(lines(true)).toHaveLength(MOST_PEERS + 1);
    expect(lines(true).at(-1)).toBe('flannel_engine_peer_sent_packets_total{peer="other"} 20');
    expect(lines(false)).toEqual([]);
  });

  test('leaves out the counters of an engine that does not run', () => {
    const facts = serving();
    const dataPath = { engine: 'fast', starts: 1, failures: 1, deviceDrops: undefined, counters: undefined };
    const text = renderMetrics({ ...facts, serving: { ...facts.serving!, dataPath } });
    expect(text).toContain('flannel_engine_running 0');
    expect(text).not.toMatch(/flannel_engine_\w*packets/);
  });

  test('escapes what would end a label', () => {
    expect(renderMetrics({ ...DAEMON, version: 'a"b\\c\n' })).toContain('{version="a\\"b\\\\c\\n"} 1\n');
  });
});

test('METRICS have names and units as Prometheus wants them, each once', () => {
  for (const { name, type } of METRICS) {
    expect(name).toMatch(/^(flannel|process)_[a-z_]+$/);
    expect(name.endsWith('_total')).toBe(type === 'counter');
  }
  expect(new Set(METRICS.map(({ name }) => name)).size).toBe(METRICS.length);
});

/** Made anew by: UPDATE_PAGES=1 npx jest --selectProjects unit --testPathPatterns node/metrics */
test('docs/metrics.md is what the table of metrics says', () => {
  const row = ({ name, type, labels, help }: (typeof METRICS)[number]) =>
    `| \`${name}\` | ${type} | ${labels.map((label) => `\`${label}\``).join(', ')} | ${help} |`;
  const page = `# Metrics

flanneld answers on \`http://ADDRESS:PORT/metrics\`, in the text format of Prometheus, with the address and port of
\`-healthz-ip\` and \`-healthz-port\` (0, the default, turns it off). The counters of the engine are read from shared memory while
it runs; asking does not slow it down. They begin at 0 with every start of an engine, as Prometheus expects of counters.

Nodes of a stack answer at 127.0.0.1:8081, the node itself alone: \`npm run shell -- node-0 curl -s http://127.0.0.1:8081/metrics\`.

| name | type | labels | what it tells |
|---|---|---|---|
${METRICS.map(row).join('\n')}
`;
  if (process.env.UPDATE_PAGES) writeFileSync(PAGE, page);
  expect(readFileSync(PAGE, 'utf8')).toBe(page);
});
