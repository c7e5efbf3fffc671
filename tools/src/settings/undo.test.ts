import { describeChanges, settingChanges } from './undo.ts';

const DEFAULTS = new Map([
  ['backend', '{"Type":"udp"}'],
  ['nodes', '3'],
]);

test('a setting that was stored gets its value back, one that was not is unset', () => {
  const stored = new Map([
    ['nodes', '4'],
    ['mtu', '1400'],
  ]);
  const own = new Map([
    ['nodes', '5'],
    ['mtu', '1400'],
    ['backend', '{"Type":"vxlan","VNI":7}'],
  ]);
  const changes = settingChanges(DEFAULTS, stored, own);
  expect(changes.map(({ undo }) => undo)).toEqual(['--config nodes=4', '--unset backend']);
  expect(describeChanges(changes)).toBe(
    'nodes is 5 and was 4; backend is {"Type":"vxlan","VNI":7} and was {"Type":"udp"}',
  );
});

test('one that was removed is stored again, quoted for a shell', () => {
  const changes = settingChanges(DEFAULTS, new Map([['backend', '{"Type":"vxlan"}']]), new Map());
  expect(changes.map(({ undo }) => undo)).toEqual([`--config 'backend={"Type":"vxlan"}'`]);
  expect(describeChanges(changes)).toBe('backend is {"Type":"udp"} and was {"Type":"vxlan"}');
});

test('the same settings are no change', () => {
  expect(settingChanges(DEFAULTS, new Map([['nodes', '4']]), new Map([['nodes', '4']]))).toEqual([]);
});
