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

test.each([
  [{ backend: 'vxlan' }, { backend: '{"Type":"udp"}' }, '--backend and --config backend= are both given'],
  [{ backend: 'udp' }, { 'backend.Type': 'vxlan' }, '--backend and --config backend.Type= are both given'],
  [
    { backend: 'udp' },
    { 'flannel:backend.Type': 'vxlan' },
    '--backend and --config flannel:backend.Type= are both given',
  ],
  [{ nodes: 3 }, { nodes: '2' }, '--nodes and --config nodes= are both given'],
  [{ pods: 0 }, { podsPerNode: '2' }, '--pods and --config podsPerNode= are both given'],
  [{ kubernetes: true, demo: true }, { kubernetes: 'false' }, '--demo and --config kubernetes= are both given'],
  [{ kubernetes: true }, { kubernetes: 'false' }, '--kubernetes and --config kubernetes= are both given'],
])('changesOf() refuses a setting that is given twice: %j and %j', (flags, config, message) => {
  const both = () => changesOf({ ...NONE, ...flags, config });
  expect(both).toThrow(UsageError);
  expect(both).toThrow(message);
});

test('changesOf() has the pods of a cluster made by kubelet, with no word against them', () => {
  const { set } = changesOf({ ...NONE, kubernetes: true, demo: true, config: { podsPerNode: '0' } });
  expect(set).toEqual({ kubernetes: 'true', podsPerNode: '0', demo: 'true' });
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
