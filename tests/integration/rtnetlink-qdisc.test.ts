import { execFileSync } from 'node:child_process';
import { getLink, setLink } from '@flannel-ts/rtnetlink/link';
import { addBridge, addIfb } from '@flannel-ts/rtnetlink/link-add';
import { getRateLimit, redirectIngress, setRateLimit } from '@flannel-ts/rtnetlink/qdisc';
import { errorOf, type Lab, openLab } from './rtnetlink-lab.ts';

let lab: Lab;
beforeEach(() => {
  lab = openLab('qdisc');
});
afterEach(() => lab.close());

const tc = (...args: string[]) =>
  JSON.parse(execFileSync('nsenter', [`--net=${lab.netns}`, 'tc', '-j', ...args], { encoding: 'utf8' }));

describe('rate limits', () => {
  test.each([
    [{ rate: 125_000, burst: 20_000, limit: 23_125 }],
    [{ rate: 12_500_000_000, burst: 536_870_911, limit: 4_000_000_000 }],
  ])('setRateLimit() sets %j as tc reads it, and is read back', (limit) => {
    const { index } = addBridge(lab.nl, { name: 'd0', up: true });
    expect(getRateLimit(lab.nl, index)).toBeUndefined();
    setRateLimit(lab.nl, index, { rate: 1000, burst: 2000, limit: 3000 });
    setRateLimit(lab.nl, index, limit);
    const [root] = tc('qdisc', 'show', 'dev', 'd0', 'root');
    expect(root).toMatchObject({ kind: 'tbf', handle: '1:', options: { rate: limit.rate } });
    const read = getRateLimit(lab.nl, index)!;
    expect({ ...read, burst: 0 }).toEqual({ ...limit, burst: 0 });
    expect(Math.abs(read.burst / limit.burst - 1)).toBeLessThan(0.01);
  });

  test('redirectIngress() sends all that comes in to another link', () => {
    const { index } = addBridge(lab.nl, { name: 'd0', up: true });
    const to = addIfb(lab.nl, { name: 'ifb-x', up: true });
    redirectIngress(lab.nl, index, to.index);
    const filters = tc('filter', 'show', 'dev', 'd0', 'ingress');
    const actions = filters.flatMap((each: { options?: { actions?: object[] } }) => each.options?.actions ?? []);
    expect(actions).toEqual([
      expect.objectContaining({ kind: 'mirred', mirred_action: 'redirect', direction: 'egress', to_dev: 'ifb-x' }),
    ]);
  });

  test('a link that is gone is refused in a sentence', () => {
    expect(errorOf(() => setRateLimit(lab.nl, 4711, { rate: 1, burst: 1, limit: 1 })).message).toMatch(
      /^Cannot limit the rate of link 4711: .*\(ENODEV\)$/,
    );
  });
});

test('setLink() notes an alias, which getLink() reads', () => {
  const { index } = addBridge(lab.nl, { name: 'd0' });
  expect(getLink(lab.nl, index)?.alias).toBeUndefined();
  setLink(lab.nl, index, { alias: 'cbr0 pod-1 eth0' });
  expect(getLink(lab.nl, index)?.alias).toBe('cbr0 pod-1 eth0');
  expect(lab.ip('link', 'show', 'd0')).toEqual([expect.objectContaining({ ifalias: 'cbr0 pod-1 eth0' })]);
});
