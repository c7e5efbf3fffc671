import { formatMarkdown } from '../page.ts';
import { summarize } from '../result.ts';

const machine = { machine: 'a machine', kernel: '6.0', date: '2026-01-02T03:04:05Z' };

test('formatMarkdown() judges the control plane by its aims, and shows flannel beside it where it took part', () => {
  const results = [
    summarize('Control, udp, 1,000 leases: start to all peers in place', 'ms', [2500], {
      name: 'flannel',
      runs: [1250],
    }),
    summarize('Control, udp, 1,000 leases: a peer moves, until packets follow (p99)', 'ms', [12]),
  ];
  const page = formatMarkdown({ ...machine, results });
  expect(page).toContain('## Control plane');
  expect(page).toContain(
    '| udp, 1,000 leases: from the start to packets for every peer, ms | at most 2000 | 2500 | **missed by 25 %** |',
  );
  expect(page).toContain('| at most 100 | 12 | met |');
  expect(page).toContain('| udp, 1,000 leases: start to all peers in place | ms | 2500 | 1250 |');
  expect(page).toContain('| udp, 1,000 leases: a peer moves, until packets follow (p99) | ms | 12 |  |');
  expect(page).not.toContain('Everything else');
  expect(page).toContain('`npm run bench -- --only control --json docs/performance-control.json');
});
