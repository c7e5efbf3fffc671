import { UsageError } from '../setup/errors.mjs';
import { parseArguments } from '../usage.mjs';

test('parseArguments() keeps the flags of "ephemeral" apart from the command after "--"', () => {
  const options = parseArguments('ephemeral', [
    '--environment',
    'aws',
    '--ttl=2',
    '--keep-on-failure',
    '--config',
    'nodes=2',
    '--',
    'npm',
    'test',
    '--ttl',
    '9',
  ]);
  expect(options.ci).toEqual({
    environment: 'aws',
    ttlHours: 2,
    keepOnFailure: true,
    policies: true,
    destroy: false,
  });
  expect(options.config).toEqual({ nodes: '2' });
  expect(options.words).toEqual(['npm', 'test', '--ttl', '9']);
});

test.each([
  ['ephemeral', ['--environment', 'moon'], '--environment "moon" is none'],
  ['ephemeral', ['--ttl', '0'], '--ttl "0" is no time'],
  ['ephemeral', ['--ttl', '1.5'], '--ttl "1.5" is no time'],
  ['ephemeral', ['--ttl', '999'], '--ttl "999" is no time'],
  ['janitor', ['everything'], '"janitor" cannot use "everything"'],
  ['conformance', ['--stack', 'No'], '--stack "No" cannot name a stack'],
])('parseArguments() of %s %j says: %s', (command, args, message) => {
  expect(() => parseArguments(command, args)).toThrow(message);
  expect(() => parseArguments(command, args)).toThrow(UsageError);
});
