import type { PodOutput } from './outputs.ts';
import { formatReachability, measure, parsePing, unreachablePairs } from './reachability.ts';

function pods(nodes: number, each: number): PodOutput[] {
  return Array.from({ length: nodes * each }, (_, i) => {
    const node = Math.floor(i / each);
    return { name: `pod-${node}-${i % each}`, node: `node-${node}`, address: `10.0.${node}.${i % each}`, netns: '' };
  });
}

test('measure() asks every pod about every other, and nobody about itself', async () => {
  const asked: string[] = [];
  const ping = async (from: PodOutput, to: PodOutput) => {
    asked.push(`${from.name} ${to.name}`);
    return 1;
  };
  const result = await measure(pods(2, 2), { ping });
  expect(new Set(asked).size).toBe(12);
  expect(asked).toHaveLength(12);
  expect(unreachablePairs(result)).toEqual([]);
});

test('measure() asks those again that did not answer, as long as it is patient', async () => {
  let asked = 0;
  const late = async () => (++asked > 2 ? 0.5 : undefined);
  const patient = await measure(pods(2, 1), { ping: late, patienceMs: 10_000 });
  expect([asked, unreachablePairs(patient)]).toEqual([4, []]);
  const hasty = await measure(pods(2, 1), { ping: async () => undefined });
  expect(unreachablePairs(hasty).map(({ from, to }) => `${from.name} -> ${to.name}`)).toEqual([
    'pod-0-0 -> pod-1-0',
    'pod-1-0 -> pod-0-0',
  ]);
});

test('measure() lets one pod stand for each node when there are many', async () => {
  const result = await measure(pods(6, 10), { ping: async () => 1 });
  expect(result.pods.map(({ name }) => name)).toEqual([0, 1, 2, 3, 4, 5].map((node) => `pod-${node}-0`));
});

test('formatReachability() shows times, gaps and the diagonal', () => {
  const [a, b] = pods(2, 1);
  const matrix = [
    [undefined, 0.456],
    [undefined, undefined],
  ];
  expect(formatReachability({ pods: [a!, b!], matrix })).toBe(
    '  ms       pod-0-0  pod-1-0\n  pod-0-0  -        0.46\n  pod-1-0  none     -',
  );
});

test.each([80, 60, 40, 10])('formatReachability() fits %d columns, or has one pod a table', async (width) => {
  const result = await measure(pods(3, 4), { ping: async () => 1.5 });
  const text = formatReachability(result, width);
  for (const line of text.split('\n')) expect(line.length).toBeLessThanOrEqual(Math.max(width, 20));
  const columns = text.split('\n').filter((line) => line.startsWith('  ms'));
  expect(columns.join(' ').match(/pod-\d-\d/g)).toEqual(result.pods.map(({ name }) => name));
});

test('parsePing() reads the smallest time, and nothing when no answer came', () => {
  const lost = '--- 10.0.0.1 ping statistics ---\n3 packets transmitted, 0 received, 100% packet loss, time 102ms\n\n';
  expect(parsePing(`3 packets transmitted\nrtt min/avg/max/mdev = 0.031/0.044/0.062/0.013 ms\n`)).toBe(0.031);
  expect(parsePing(lost)).toBeUndefined();
  expect(parsePing('')).toBeUndefined();
});
