import { parseIp } from '@flannel-ts/inet/ip';
import type { Ipv4 } from '@flannel-ts/inet/ipv4';
import { parsePrefix, prefixContains, prefixFrom } from '@flannel-ts/inet/prefix';
import fc from 'fast-check';
import { type RouteRow, RouteTable } from './peers.ts';

function row(subnet: string, peer: string): RouteRow {
  const { base, length } = parsePrefix(subnet, 4);
  return { base, length, peer: parseIp(peer, 4) };
}

describe('RouteTable', () => {
  const table = new RouteTable([
    row('10.5.0.0/16', '192.0.2.1'),
    row('10.5.72.0/24', '192.0.2.2'),
    row('10.5.72.9/32', '192.0.2.3'),
    row('10.6.0.0/24', '192.0.2.1'),
  ]);
  const peerOf = (ip: string): number | undefined => {
    const found = table.lookup(parseIp(ip, 4));
    return found < 0 ? undefined : table.peer(found);
  };

  test('lookup() takes the longest prefix', () => {
    expect(peerOf('10.5.72.9')).toBe(parseIp('192.0.2.3'));
    expect(peerOf('10.5.72.10')).toBe(parseIp('192.0.2.2'));
    expect(peerOf('10.5.73.1')).toBe(parseIp('192.0.2.1'));
    expect(peerOf('10.7.0.0')).toBeUndefined();
  });

  test('lookup() covers both ends of a subnet', () => {
    expect(peerOf('10.6.0.0')).toBe(parseIp('192.0.2.1'));
    expect(peerOf('10.6.0.255')).toBe(parseIp('192.0.2.1'));
    expect(peerOf('10.6.1.0')).toBeUndefined();
    expect(peerOf('10.5.255.255')).toBe(parseIp('192.0.2.1'));
  });

  test('lookup() finds nothing in an empty table', () => {
    expect(RouteTable.EMPTY.lookup(0 as Ipv4)).toBe(-1);
  });

  test('lookup() takes a default route and addresses with the top bit set', () => {
    const all = new RouteTable([row('0.0.0.0/0', '192.0.2.1'), row('240.0.0.0/4', '192.0.2.2')]);
    expect(all.peer(all.lookup(parseIp('8.8.8.8')))).toBe(parseIp('192.0.2.1'));
    expect(all.peer(all.lookup(parseIp('255.255.255.255')))).toBe(parseIp('192.0.2.2'));
  });

  test('lookup() takes the last of two rows for one subnet', () => {
    const twice = new RouteTable([row('10.5.0.0/24', '192.0.2.1'), row('10.5.0.0/24', '192.0.2.2')]);
    expect(twice.peer(twice.lookup(parseIp('10.5.0.1')))).toBe(parseIp('192.0.2.2'));
  });

  test('lookup() agrees with a look at every row', () => {
    // Few distinct bits, so that prefixes nest and collide.
    const ip = fc.tuple(fc.constantFrom(10, 200), fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: 255 }));
    const number = ([a, b, c]: readonly [number, number, number]): Ipv4 => (((a << 24) | (b << 16) | c) >>> 0) as Ipv4;
    const rows = fc.array(fc.tuple(ip, fc.integer({ min: 0, max: 32 }), fc.integer({ min: 1, max: 5 })), {
      maxLength: 30,
    });
    fc.assert(
      fc.property(rows, fc.array(ip, { maxLength: 20 }), (list, wanted) => {
        const routes = list.map(([base, length, peer]) => ({ ...prefixFrom(number(base), length), peer }));
        const tested = new RouteTable(routes);
        for (const target of wanted.map(number)) {
          let best: (typeof routes)[number] | undefined;
          for (const route of routes) {
            if (prefixContains(route, target) && route.length >= (best?.length ?? 0)) best = route;
          }
          const found = tested.lookup(target);
          expect(found < 0 ? undefined : tested.peer(found)).toBe(best?.peer);
        }
      }),
    );
  });
});
