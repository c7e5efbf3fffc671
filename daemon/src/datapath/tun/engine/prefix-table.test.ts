import { ipToBytes, parseIp } from '@flannel-ts/inet/ip';
import type { Ipv4 } from '@flannel-ts/inet/ipv4';
import { type Prefix, parsePrefix, prefixContains, prefixFrom } from '@flannel-ts/inet/prefix';
import fc from 'fast-check';
import { PrefixTable } from './prefix-table.ts';
import { lengthInWords, wordsOf } from './words.ts';

function set(table: PrefixTable, prefix: Prefix, peer: number): void {
  table.set(...wordsOf(prefix.base), lengthInWords(prefix.family, prefix.length), peer);
}

function remove(table: PrefixTable, prefix: Prefix): void {
  table.delete(...wordsOf(prefix.base), lengthInWords(prefix.family, prefix.length));
}

function tableOf(routes: Readonly<Record<string, number>>): PrefixTable {
  const table = new PrefixTable();
  for (const [subnet, peer] of Object.entries(routes)) set(table, parsePrefix(subnet), peer);
  return table;
}

function lookup(table: PrefixTable, text: string): number {
  const ip = parseIp(text);
  return typeof ip === 'number' ? table.lookup(ip) : table.lookup6(Uint8Array.from([0, ...ipToBytes(ip)]), 1);
}

describe('lookup() and lookup6()', () => {
  test('take the longest prefix', () => {
    const table = tableOf({
      ...{ '10.5.0.0/16': 1, '10.5.72.0/24': 2, '10.5.72.9/32': 3 },
      ...{ 'fd00::/16': 4, 'fd00:0:0:2::/64': 5, 'fd00:0:0:2::7/128': 0xffff_fffe },
    });
    const found = ['10.5.72.9', '10.5.72.10', '10.5.73.1', '10.7.0.0'].map((ip) => lookup(table, ip));
    expect(found).toEqual([3, 2, 1, 0]);
    const found6 = ['fd00:0:0:2::7', 'fd00:0:0:2::8', 'fd00::1', 'fe80::1'].map((ip) => lookup(table, ip));
    expect(found6).toEqual([0xffff_fffe, 5, 4, 0]);
  });

  test('cover both ends of a subnet, and addresses with the top bit set', () => {
    const table = tableOf({ '10.6.0.0/24': 1, '240.0.0.0/4': 2 });
    const found = ['10.5.255.255', '10.6.0.0', '10.6.0.255', '10.6.1.0', '255.255.255.255'].map((ip) =>
      lookup(table, ip),
    );
    expect(found).toEqual([0, 1, 1, 0, 2]);
  });

  test('keep the default routes of the families apart', () => {
    const table = tableOf({ '0.0.0.0/0': 1, '::/0': 2 });
    expect([lookup(table, '8.8.8.8'), lookup(table, '2001:db8::1')]).toEqual([1, 2]);
    remove(table, parsePrefix('::/0'));
    expect([lookup(table, '8.8.8.8'), lookup(table, '2001:db8::1')]).toEqual([1, 0]);
  });

  test('find each of thousands of neighbouring subnets while others come and go', () => {
    const table = new PrefixTable();
    const subnet = (i: number): Prefix => parsePrefix(`10.${i >> 8}.${i & 255}.0/24`);
    const subnet6 = (i: number): Prefix => parsePrefix(`fd00:0:${(i >> 8).toString(16)}:${i & 255}::/64`);
    for (let i = 0; i < 20_000; i++) for (const prefix of [subnet(i), subnet6(i)]) set(table, prefix, i + 1);
    for (let i = 0; i < 20_000; i += 2) for (const prefix of [subnet(i), subnet6(i)]) remove(table, prefix);
    expect(table.size).toBe(20_000);
    for (let i = 0; i < 20_000; i++) {
      const owner = i % 2 === 0 ? 0 : i + 1;
      const six = `fd00:0:${(i >> 8).toString(16)}:${i & 255}::5`;
      expect([lookup(table, `10.${i >> 8}.${i & 255}.5`), lookup(table, six)]).toEqual([owner, owner]);
    }
  });

  test('agree with a search of all prefixes after any changes', () => {
    // Few distinct bits, so that prefixes nest and collide.
    const ip4 = fc
      .tuple(fc.constantFrom(10, 200), fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: 255 }))
      .map(([a, b, c]) => (((a << 24) | (b << 16) | c) >>> 0) as Ipv4);
    const ip6 = fc.bigInt({ min: 0n, max: 255n }).map((low) => ((0xfd00n << 112n) | (low << 60n) | low) as never);
    const prefix = fc.oneof(
      fc.tuple(ip4, fc.integer({ min: 0, max: 32 })),
      fc.tuple(ip6, fc.integer({ min: 0, max: 128 })),
    );
    const step = fc.tuple(prefix, fc.integer({ min: 0, max: 5 }));
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), fc.array(fc.oneof(ip4, ip6), { maxLength: 20 }), (steps, ips) => {
        const table = new PrefixTable();
        const model = new Map<string, { prefix: Prefix; peer: number }>();
        for (const [[address, length], peer] of steps) {
          const changed = prefixFrom(address, length) as Prefix;
          const key = `${changed.family} ${changed.base}/${length}`;
          if (peer === 0) {
            remove(table, changed);
            model.delete(key);
          } else {
            set(table, changed, peer);
            model.set(key, { prefix: changed, peer });
          }
        }
        expect(table.size).toBe(model.size);
        for (const wanted of [...ips, ...steps.map(([[address]]) => address)]) {
          const holding = [...model.values()]
            .filter((route) => prefixContains(route.prefix, wanted))
            .sort((a, b) => b.prefix.length - a.prefix.length);
          const found =
            typeof wanted === 'number' ? table.lookup(wanted) : table.lookup6(Uint8Array.from(ipToBytes(wanted)), 0);
          expect(found).toBe(holding[0]?.peer ?? 0);
        }
      }),
    );
  });
});
