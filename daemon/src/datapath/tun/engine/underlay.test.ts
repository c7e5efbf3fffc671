import { parseIp } from '@flannel-ts/inet/ip';
import { parsePrefix } from '@flannel-ts/inet/prefix';
import { sockaddrOf } from '@flannel-ts/linux/socket';
import { Control } from './control.ts';
import { Tables } from './tables.ts';
import { type Family, Underlay } from './underlay.ts';
import { wordsOf } from './words.ts';

const ADDRESSES = { 4: ['192.0.2.2', '203.0.113.9'], 6: ['2001:db8::2', 'fd00::ffff:0:1'] } as const;

function underlay(family: Family): Underlay {
  const made = new Underlay(family, 8285);
  const all = [...ADDRESSES[4], ...ADDRESSES[6]];
  for (const [index, text] of all.entries()) made.add(index + 1, ...wordsOf(parseIp(text)));
  return made;
}

describe.each([4, 6] as const)('Underlay of IPv%i', (family) => {
  test('writeName() makes the sockaddr that the kernel takes', () => {
    const made = underlay(family);
    const bytes = new Uint8Array(100).fill(0xff);
    for (const [index, text] of ADDRESSES[family].entries()) {
      made.writeName(bytes, 8, index + (family === 4 ? 1 : 3));
      expect(bytes.subarray(8, 8 + made.nameBytes)).toEqual(sockaddrOf(parseIp(text), 8285));
      expect([bytes[7], bytes[8 + made.nameBytes]]).toEqual([0xff, 0xff]);
    }
  });

  test('peerAt() finds a peer by its name from any port, and nobody by another', () => {
    const made = underlay(family);
    const at = (text: string): number => made.peerAt(Uint8Array.from([0, ...sockaddrOf(parseIp(text), 40_000)]), 1);
    expect(ADDRESSES[family].map(at)).toEqual(family === 4 ? [1, 2] : [3, 4]);
    expect(at(family === 4 ? '192.0.2.3' : '2001:db8::3')).toBe(0);
  });

  test('has() knows present peers of its family only', () => {
    const made = underlay(family);
    expect([1, 2, 3, 4, 5].map((peer) => made.has(peer))).toEqual(
      family === 4 ? [true, true, false, false, false] : [false, false, true, true, false],
    );
    for (const peer of [1, 2, 3, 4, 0x1_0001]) made.remove(peer);
    expect([1, 2, 3, 4].some((peer) => made.has(peer))).toBe(false);
    expect(made.peerAt(sockaddrOf(parseIp(ADDRESSES[family][0]), 1), 0)).toBe(0);
  });
});

test('Tables.refresh() has no routes to peers that the socket cannot reach', () => {
  const control = new Control();
  control.setRoutes([
    { subnet: parsePrefix('10.2.0.0/24'), peer: parseIp('192.0.2.2') },
    { subnet: parsePrefix('10.3.0.0/24'), peer: parseIp('2001:db8::2') },
  ]);
  const tables = new Tables(control.shared, new Underlay(6, 8285));
  expect([tables.refresh(), tables.refresh()]).toEqual([true, false]);
  expect(tables.routes.lookup(parseIp('10.2.0.1'))).toBe(0);
  expect(tables.underlay.has(tables.routes.lookup(parseIp('10.3.0.1')))).toBe(true);
});
