import { formatHealth } from './health.ts';
import { asOutputs } from './outputs.ts';
import { formatMissing } from './report.ts';
import { formatTable } from './table.ts';

const OUTPUTS = {
  network: { vpcCidr: '10.64.0.0/19', podCidr: '10.244.0.0/16', subnetLength: 24, backend: { Type: 'udp' } },
  nodes: [{ name: 'node-0', address: '10.64.0.16', podSubnet: '10.244.7.0/24' }],
  etcdEndpoints: ['https://10.64.0.4:2379'],
  artifact: { version: '0.1.0', sha256: 'abcdef0123456789' },
  pods: [{ name: 'pod-0-0', node: 'node-0', address: '10.244.7.2', netns: '/run/netns/x' }],
};

test('asOutputs() is undefined for a stack that never came up', () => {
  expect(asOutputs({})).toBeUndefined();
  expect(asOutputs({ nodes: [] })).toBeUndefined();
  const { pods: _, ...cloud } = OUTPUTS;
  expect(asOutputs(cloud)?.pods).toEqual([]);
});

test('formatTable() aligns columns and leaves no blanks at the end', () => {
  expect(formatTable([['a', 'bb'], ['ccc'], ['d', 'e']])).toBe('  a    bb\n  ccc\n  d    e');
  expect(formatTable([])).toBe('');
});

test('formatTable() gives each row a block where the table is too wide', () => {
  expect(
    formatTable(
      [
        ['NAME', 'SINCE'],
        ['some-name', '2026-03-01'],
      ],
      20,
    ),
  ).toBe('  NAME   some-name\n  SINCE  2026-03-01');
});

describe('formatHealth()', () => {
  const supervisor = { pid: 1, startTime: '1' };
  const base = { supervisor, pid: 2, ready: true, answering: true, restarts: 0, configHash: '' };

  test.each([
    [base, 'ready'],
    [{ ...base, ready: false }, 'not ready'],
    [{ ...base, restarts: 2 }, 'ready, 2 restarts'],
    [{ supervisor, ready: false, answering: false, restarts: 1, configHash: '' }, 'down, 1 restart'],
    [undefined, 'missing'],
  ])('of %j', (status, text) => {
    expect(formatHealth(status, () => true)).toBe(text);
  });

  test('without its supervisor nobody would start it again', () => {
    expect(formatHealth(base, () => false)).toBe('stopped (supervisor died): npm run up restarts it');
  });
});

describe('formatMissing()', () => {
  const pods = [0, 1, 2].flatMap((node) =>
    [0, 1].map((i) => ({ name: `pod-${node}-${i}`, node: `node-${node}`, address: '', netns: '' })),
  );
  const pairs = pods.flatMap((from) => pods.filter((to) => to !== from).map((to) => ({ from, to })));

  test('names a dead node once instead of all its pairs, and says what to do', () => {
    const missing = pairs.filter(({ from, to }) => (from.node === 'node-1') !== (to.node === 'node-1'));
    expect(missing).toHaveLength(16);
    const text = formatMissing(missing, pods, 'mine');
    expect(text).toMatch(/^No answer: pod-0-0 -> pod-1-0, .* and 8 more\. /);
    expect(text).toContain('All of them involve node-1: "npm run logs -- --stack mine node-1" shows why');
    expect(text).toContain('"npm run up -- --stack mine" repairs what is broken');
  });

  test('blames no node where several could be it', () => {
    const missing = pairs.filter(({ from, to }) => from.node !== to.node);
    expect(formatMissing(missing, pods, 'local')).toContain('"npm run logs -- node-0" shows what flanneld says there');
  });
});
