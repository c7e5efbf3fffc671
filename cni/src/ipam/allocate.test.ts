import { formatIp, parseIp } from '@flannel-ts/inet/ip';
import fc from 'fast-check';
import { candidates, checkRangeSets, formatRangeSet, parseRange, rangeContains } from './allocate.ts';

const order = (set: Parameters<typeof candidates>[0], last?: string): string[] =>
  [...candidates(set, last === undefined ? undefined : parseIp(last))].map(({ ip }) => formatIp(ip));

describe('parseRange()', () => {
  test('uses .1 as gateway and start, broadcast - 1 as end', () => {
    const range = parseRange({ subnet: '10.1.2.0/24' });
    expect(formatIp(range.gateway)).toBe('10.1.2.1');
    expect(formatRangeSet([range])).toBe('10.1.2.1-10.1.2.254');
  });

  test('uses all ones as end in IPv6', () => {
    expect(formatRangeSet([parseRange({ subnet: '2001:db8:1::/64' })])).toBe(
      '2001:db8:1::1-2001:db8:1:0:ffff:ffff:ffff:ffff',
    );
  });

  test.each([
    [{ subnet: '10.1.2.0/31' }, 'Network 10.1.2.0/31 too small to allocate from'],
    [
      { subnet: '10.1.2.2/24' },
      'Network has host bits set. For a subnet mask of length 24 the network address is 10.1.2.0',
    ],
    [{ subnet: '10.1.2.0/24', rangeStart: '10.1.3.1' }, 'RangeStart 10.1.3.1 not in network 10.1.2.0/24'],
    [{ subnet: '10.1.2.0/24', rangeEnd: '10.1.1.1' }, 'RangeEnd 10.1.1.1 not in network 10.1.2.0/24'],
    [{ subnet: 'x' }, 'invalid CIDR address: x'],
    [{ subnet: '010.1.2.0/24' }, 'invalid CIDR address: 010.1.2.0/24'],
    [{ subnet: '10.1.2.0/24', gateway: 'x' }, 'invalid gateway: x'],
    [{ subnet: '10.1.2.0/24', rangeStart: '10.1.2.9', rangeEnd: '10.1.2.8' }, 'RangeStart 10.1.2.9 comes after'],
  ])('refuses %j', (config, message) => {
    expect(() => parseRange(config)).toThrow(message);
  });
});

describe('candidates()', () => {
  const small = [parseRange({ subnet: '10.1.2.0/29' })];

  test('goes once round, without network, gateway and broadcast (#30)', () => {
    expect(order(small)).toEqual(['10.1.2.2', '10.1.2.3', '10.1.2.4', '10.1.2.5', '10.1.2.6']);
  });

  test('starts after the last one given out and ends with it (#30)', () => {
    expect(order(small, '10.1.2.4')).toEqual(['10.1.2.5', '10.1.2.6', '10.1.2.2', '10.1.2.3', '10.1.2.4']);
    expect(order(small, '10.1.2.6')).toEqual(['10.1.2.2', '10.1.2.3', '10.1.2.4', '10.1.2.5', '10.1.2.6']);
  });

  test('ignores a last address of another range (#30)', () => {
    expect(order(small, '10.9.9.9')).toEqual(order(small));
    expect(order(small, 'fd00::1')).toEqual(order(small));
  });

  test('goes through all ranges of a set', () => {
    const set = [
      parseRange({ subnet: '10.1.2.0/24', rangeStart: '10.1.2.10', rangeEnd: '10.1.2.11' }),
      parseRange({ subnet: '10.1.3.0/24', rangeStart: '10.1.3.10', rangeEnd: '10.1.3.11' }),
    ];
    expect(order(set, '10.1.3.10')).toEqual(['10.1.3.11', '10.1.2.10', '10.1.2.11', '10.1.3.10']);
    expect(order(set, '10.1.2.11')).toEqual(['10.1.3.10', '10.1.3.11', '10.1.2.10', '10.1.2.11']);
  });

  test('gives each address of the set exactly once, whatever the last one was', () => {
    const arbitrary = fc.record({ length: fc.integer({ min: 24, max: 30 }), last: fc.integer({ min: 0, max: 255 }) });
    fc.assert(
      fc.property(arbitrary, ({ length, last }) => {
        const range = parseRange({ subnet: `10.1.2.0/${length}` });
        const given = order([range], `10.1.2.${last}`);
        expect(new Set(given).size).toBe(given.length);
        expect(given).toHaveLength(2 ** (32 - length) - 3);
        expect(given.every((text) => rangeContains(range, parseIp(text)) && text !== '10.1.2.1')).toBe(true);
      }),
    );
  });
});

describe('checkRangeSets()', () => {
  const range = (subnet: string) => parseRange({ subnet });

  test('accepts one set per family', () => {
    expect(() => checkRangeSets([[range('10.1.2.0/24')], [range('fd00::/64')]])).not.toThrow();
  });

  test.each([
    [[[range('10.1.2.0/24'), range('fd00::/64')]], 'invalid range set 0: mixed address families'],
    [[[range('10.1.2.0/24'), range('10.1.0.0/16')]], 'overlap'],
    [[[range('10.1.2.0/24')], [range('10.1.0.0/16')]], 'range set 0 overlaps with 1'],
    [[[]], 'empty range set'],
  ])('refuses set %#', (sets, message) => {
    expect(() => checkRangeSets(sets)).toThrow(message);
  });
});
