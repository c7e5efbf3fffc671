import { UsageError } from '../../setup/errors.mjs';
import { changesOf, incomplete } from './up.ts';

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

test('incomplete() says what stays stored, and how to go back', () => {
  expect(incomplete('local', [])).toBe(
    'Stack "local" is incomplete: "npm run up" continues, "npm run down" removes it',
  );
  const change = {
    key: 'backend',
    before: '{"Type":"udp"}',
    after: '{"Type":"vxlan","VNI":7}',
    undo: '--unset backend',
  };
  expect(incomplete('mine', [change])).toBe(
    'Stack "mine" is incomplete, and the new settings stay stored: backend is {"Type":"vxlan","VNI":7} and was {"Type":"udp"}. ' +
      '"npm run up -- --stack mine" continues with them, "npm run up -- --stack mine --unset backend" goes back to the ' +
      'former ones, "npm run down -- --stack mine" removes it',
  );
});
