import { formatIp, parseIp } from '@flannel-ts/inet/ip';
import { parsePrefix } from '@flannel-ts/inet/prefix';
import { pino } from 'pino';
import { externalAt } from '../../testing/external.ts';
import type { ExternalInterface, NodeFacts } from './select.ts';
import { judge, watchUnderlay } from './watch.ts';

interface NodeOptions {
  readonly name?: string;
  readonly index?: number;
  readonly mtu?: number;
  readonly up?: boolean;
  readonly defaultRoute?: boolean;
}

const nodeWith = (addresses: readonly string[], options: NodeOptions = {}): NodeFacts => {
  const { name = 'eth0', index = 2, mtu = 1500, up = true, defaultRoute = true } = options;
  const entries = addresses.map((text) => ({ address: parseIp(text), permanent: true, unfit: false }));
  return {
    links: [{ name, index, mtu, up, addresses: entries }],
    defaultRoutes: { 4: defaultRoute ? [index] : [], 6: [] },
    reachSource: undefined,
  };
};
const search = {
  options: { names: [], patterns: [] },
  outer: [4] as const,
  networks: [parsePrefix('10.244.0.0/16')],
  subnets: [parsePrefix('10.244.1.0/24')],
};
const current = externalAt(['10.0.0.1']);

describe('judge()', () => {
  test('judge() keeps the address while the node has it, whatever else has come', () => {
    expect(judge(search, nodeWith(['10.0.0.9', '10.0.0.1']), current)).toEqual({});
    expect(judge(search, nodeWith(['10.0.0.1'], { defaultRoute: false }), current)).toEqual({});
  });

  test('judge() says that the interface is down', () => {
    expect(judge(search, nodeWith(['10.0.0.1'], { up: false }), current)).toEqual({
      trouble: 'the interface eth0 is down',
    });
  });

  test('judge() follows the address to another interface, and the MTU', () => {
    expect(judge(search, nodeWith(['10.0.0.1'], { name: 'br0', index: 5, mtu: 1400 }), current)).toEqual({
      next: { ...current, name: 'br0', index: 5, mtu: 1400 },
    });
  });

  test('judge() chooses again by the flags when the address is gone, never an address of pods', () => {
    const { next, trouble } = judge(search, nodeWith(['10.244.1.1', '10.0.0.2']), current);
    expect(next && formatIp(next.address)).toBe('10.0.0.2');
    expect(trouble).toBe('the address 10.0.0.1 is gone from this node: changing to 10.0.0.2 of eth0');
    expect(judge(search, nodeWith(['10.244.1.1']), current)).toEqual({
      trouble: expect.stringMatching(/^the address 10\.0\.0\.1 is gone from this node, and no other one was found: /),
    });
  });
});

describe('judge() over both families', () => {
  const dual = { ...search, outer: [4, 6] as const };
  const before = externalAt(['10.0.0.1', 'fd00::1']);

  test('judge() keeps both addresses while the node has them', () => {
    expect(judge(dual, nodeWith(['10.0.0.9', '10.0.0.1', 'fd00::9', 'fd00::1']), before)).toEqual({});
  });

  test('judge() replaces one address and keeps the other', () => {
    expect(judge(dual, nodeWith(['10.0.0.1', 'fd00::2']), before)).toEqual({
      next: externalAt(['10.0.0.1', 'fd00::2']),
    });
    expect(judge(dual, nodeWith(['10.0.0.2', 'fd00::9', 'fd00::1']), before)).toEqual({
      next: externalAt(['10.0.0.2', 'fd00::1']),
      trouble: 'the address 10.0.0.1 is gone from this node: changing to 10.0.0.2 of eth0',
    });
  });

  test('judge() names what is gone without a successor', () => {
    expect(judge(dual, nodeWith(['10.0.0.1']), before).trouble).toMatch(
      /^the address fd00::1 is gone from this node, and no other one was found: .* interface eth0 has no usable IPv6 address/,
    );
    expect(judge(dual, nodeWith([]), before).trouble).toMatch(/^the addresses 10\.0\.0\.1 and fd00::1 are gone/);
  });
});

describe('watchUnderlay()', () => {
  const timings = { everyMs: 2, atLeastMs: 1, settledMs: 20 };

  function watch(look: (count: number) => NodeFacts) {
    const reports: (string | undefined)[] = [];
    const lines: string[] = [];
    const stop = new AbortController();
    let count = 0;
    const parts = {
      read: () => look(count++),
      report: (trouble?: string) => void reports.push(trouble),
      log: pino({ base: null }, { write: (line: string) => void lines.push(JSON.parse(line).msg) }),
      onKernelEvent: () => () => {},
    };
    return { changes: watchUnderlay(search, parts, current, stop.signal, timings), reports, lines, stop };
  }

  test('watchUnderlay() yields a change that lasts, and goes on from it', async () => {
    let addresses = ['10.0.0.2'];
    const { changes, stop } = watch(() => nodeWith(addresses));
    const first = (await changes.next()).value as ExternalInterface;
    expect(formatIp(first.address)).toBe('10.0.0.2');
    addresses = ['10.0.0.3'];
    expect(formatIp((await changes.next()).value.address)).toBe('10.0.0.3');
    stop.abort();
    expect(await changes.next()).toEqual({ done: true, value: undefined });
  });

  test('watchUnderlay() passes over an address that is gone for a moment', async () => {
    const { changes, stop, reports } = watch((count) => {
      if (count > 50) stop.abort();
      return nodeWith(count === 3 ? ['10.0.0.2'] : ['10.0.0.1', '10.0.0.2']);
    });
    expect((await changes.next()).done).toBe(true);
    expect(reports.filter((trouble) => trouble !== undefined)).toHaveLength(1);
  });

  test('watchUnderlay() goes on through errors of netlink, reports them, and logs each once', async () => {
    const { changes, stop, reports, lines } = watch((count) => {
      if (count > 6) stop.abort();
      if (count >= 2 && count < 5) throw new Error('Cannot list links: no buffer space (ENOBUFS)');
      return nodeWith(['10.0.0.1']);
    });
    expect((await changes.next()).done).toBe(true);
    const trouble = 'cannot look at the interfaces, trying again: Cannot list links: no buffer space (ENOBUFS)';
    expect(reports.slice(0, 6)).toEqual([undefined, undefined, trouble, trouble, trouble, undefined]);
    expect(lines).toEqual([`Underlay: ${trouble}`]);
  });
});
