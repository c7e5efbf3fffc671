import { ipToBytes, parseIp } from '@flannel-ts/inet/ip';
import type { Ipv6 } from '@flannel-ts/inet/ipv6';
import { parsePrefix, prefixContains, prefixFrom } from '@flannel-ts/inet/prefix';
import fc from 'fast-check';
import { type RouteRow6, RouteTable6 } from './peers6.ts';
import { wordsOf } from './underlay.ts';

function row(subnet: string, peer: number): RouteRow6 {
  const { base, length } = parsePrefix(subnet, 6);
  return { base: wordsOf(base), length, peer };
}
const at = (text: string): Uint8Array => Uint8Array.from([0, ...ipToBytes(parseIp(text))]);

describe('RouteTable6', () => {
  test('lookup() takes the longest prefix', () => {
    const table = new RouteTable6([row('fd00::/16', 1), row('fd00:0:0:2::/64', 2), row('fd00:0:0:2::7/128', 3)]);
    const peerOf = (text: string) => table.peer(table.lookup(at(text), 1));
    expect([peerOf('fd00:9::1'), peerOf('fd00:0:0:2::6'), peerOf('fd00:0:0:2::7')]).toEqual([1, 2, 3]);
    expect(table.lookup(at('fe80::1'), 1)).toBe(-1);
  });

  test('lookup() takes the last of equal subnets, and of a default route everything', () => {
    const table = new RouteTable6([row('::/0', 1), row('::/0', 0xffff_fffe)]);
    expect(table.peer(table.lookup(at('2001:db8::1'), 1))).toBe(0xffff_fffe);
    expect(RouteTable6.EMPTY.lookup(at('::1'), 1)).toBe(-1);
  });

  test('lookup() finds each of thousands of neighbouring subnets', () => {
    const rows = Array.from({ length: 20_000 }, (_, i) =>
      row(`fd00:0:${(i >> 8).toString(16)}:${i & 255}::/64`, i + 1),
    );
    const table = new RouteTable6(rows);
    for (const i of [0, 1, 255, 256, 9999, 19_999]) {
      const address = at(`fd00:0:${(i >> 8).toString(16)}:${i & 255}::5`);
      expect(table.peer(table.lookup(address, 1))).toBe(i + 1);
    }
  });

  test('lookup() agrees with a search of all prefixes', () => {
    const address = fc.bigInt({ min: 0n, max: (1n << 128n) - 1n });
    const near = fc.tuple(address, fc.integer({ min: 0, max: 128 }));
    fc.assert(
      fc.property(fc.array(near, { maxLength: 30 }), fc.array(address, { maxLength: 10 }), (subnets, others) => {
        const prefixes = subnets.map(([ip, length]) => prefixFrom(ip as Ipv6, length));
        const rows = prefixes.map(({ base, length }, i) => ({ base: wordsOf(base), length, peer: i + 1 }));
        const table = new RouteTable6(rows);
        for (const ip of [...subnets.map(([inside]) => inside ^ 1n), ...others]) {
          const holding = prefixes
            .map((prefix, i) => ({ prefix, i }))
            .filter(({ prefix }) => prefixContains(prefix, ip as Ipv6))
            .sort((a, b) => b.prefix.length - a.prefix.length || b.i - a.i);
          expect(table.lookup(ipToBytes(ip as Ipv6), 0)).toBe(holding[0]?.i ?? -1);
        }
      }),
    );
  });
});
