import { UsageError } from '../../setup/errors.mjs';
import { parseSettingsFile, readSettingsFile } from './file.ts';

test('parseSettingsFile() gives settings as --config does', () => {
  const text = `
$schema: docs/settings.schema.json
nodes: 2
kubernetes: true
podCidr: 10.245.0.0/16
backend: {Type: vxlan, VNI: 7}
publish:
  - 8080:30080
`;
  expect(parseSettingsFile('f', text)).toEqual({
    ...{ nodes: '2', kubernetes: 'true', podsPerNode: '0', podCidr: '10.245.0.0/16' },
    ...{ backend: '{"Type":"vxlan","VNI":7}', publish: '["8080:30080"]' },
  });
  expect(parseSettingsFile('f', '{"kubernetes": true, "podsPerNode": 1}')).toMatchObject({ podsPerNode: '1' });
  expect(parseSettingsFile('f', '# nothing\n')).toEqual({});
});

test.each([
  ['- nodes\n', 'holds no settings'],
  ['nodes: [', 'is no YAML'],
  ['nodes:\n', 'nodes has no value'],
])('parseSettingsFile() refuses %j', (text, message) => {
  expect(() => parseSettingsFile('f', text)).toThrow(UsageError);
  expect(() => parseSettingsFile('f', text)).toThrow(message);
});

test('readSettingsFile() says which file it cannot read', () => {
  expect(() => readSettingsFile('/nowhere/at/all')).toThrow('--file /nowhere/at/all cannot be read: no such file');
});
