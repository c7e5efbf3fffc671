import { UsageError } from '../../setup/errors.mjs';
import { changesOf } from './up.ts';

const NONE = { config: {}, unset: [] };

test('changesOf() sets the type of the backend before its keys', () => {
  const { set } = changesOf({ ...NONE, nodes: 4, backend: 'vxlan', config: { 'backend.VNI': '7', mtu: '1400' } });
  expect(Object.entries(set)).toEqual([
    ['backend.Type', 'vxlan'],
    ['backend.VNI', '7'],
    ['mtu', '1400'],
    ['nodes', '4'],
  ]);
});

test('changesOf() refuses two backends', () => {
  const both = () => changesOf({ ...NONE, backend: 'vxlan', config: { backend: '{"Type":"udp"}' } });
  expect(both).toThrow(UsageError);
  expect(both).toThrow('--backend and --config backend= are both given');
});
