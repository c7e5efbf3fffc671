import { parseIp } from '@flannel-ts/inet/ip';
import { parseMac } from '@flannel-ts/inet/mac';
import { Echoes } from './echoes.ts';

const entry = { index: 7, mac: parseMac('02:00:00:00:00:01'), dst: parseIp('10.0.0.1') };

test('Echoes know what was expected, as often as it was', () => {
  const echoes = new Echoes();
  expect(echoes.take('set', entry, 0)).toBe(false);
  echoes.expect('set', entry, 0);
  echoes.expect('set', entry, 0);
  expect(echoes.take('deleted', entry, 1)).toBe(false);
  expect(echoes.take('set', { ...entry, dst: parseIp('10.0.0.2') }, 1)).toBe(false);
  expect(echoes.take('set', { ...entry, index: 8 }, 1)).toBe(false);
  expect([1, 2, 3].map((now) => echoes.take('set', entry, now))).toEqual([true, true, false]);
});

test('Echoes that did not come in time are no excuse for what comes later', () => {
  const echoes = new Echoes();
  echoes.expect('deleted', entry, 0);
  expect(echoes.take('deleted', entry, 1001)).toBe(false);
  echoes.expect('set', entry, 2000);
  echoes.expect('set', { ...entry, index: 8 }, 4000);
  expect(echoes.take('set', entry, 4001)).toBe(false);
});
