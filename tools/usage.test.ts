import { UsageError } from './setup/errors.mjs';
import { assertNothingKeptByNpm, COMMANDS, hintAtKeptStack, parseArguments, usage } from './usage.mjs';

test('parseArguments() reads flags with a space and with an equals sign', () => {
  const spaced = parseArguments('up', ['--stack', 'mine', '--nodes', '5', '--pods', '0', '--config', 'mtu=1400']);
  expect(parseArguments('up', ['-s', 'mine']).stack).toBe('mine');
  const joined = parseArguments('up', ['--stack=mine', '--nodes=5', '--pods=0', '--config=mtu=1400']);
  expect(spaced).toEqual(joined);
  expect(spaced).toMatchObject({ stack: 'mine', nodes: 5, pods: 0, config: { mtu: '1400' } });
});

test('parseArguments() uses the default stack, and collects settings', () => {
  const backend = '{"Type":"udp","Port":8299}';
  expect(parseArguments('up', ['--config', 'a=1', '--config', `backend=${backend}`])).toMatchObject({
    stack: 'local',
    config: { a: '1', backend },
  });
});

test('parseArguments() accepts the type of the backend in any letter case', () => {
  expect(parseArguments('up', ['--backend', 'VXLAN'])).toMatchObject({ backend: 'vxlan' });
});

test('parseArguments() leaves all that follows a pod to the command there', () => {
  const { stack, words } = parseArguments('shell', ['--stack', 'a', 'pod-0-0', 'ping', '--stack', 'b', '-c', '1']);
  expect([stack, words]).toEqual(['a', ['pod-0-0', 'ping', '--stack', 'b', '-c', '1']]);
});

test('parseArguments() accepts flags after a word where nothing belongs to another command', () => {
  expect(parseArguments('logs', ['node-0', '-f', '--lines', '5'])).toMatchObject({
    words: ['node-0'],
    follow: true,
    lines: 5,
  });
});

test.each([
  ['up', ['--stack', 'Dev'], '--stack "Dev" cannot name a stack'],
  ['up', ['--stack', 'a.b'], '--stack "a.b"'],
  ['up', ['--stack', 'x'.repeat(31)], '--stack "xxx'],
  ['up', ['--stack'], '--stack needs a value: --stack NAME'],
  ['up', ['--nodes', 'many'], '--nodes is "many"'],
  ['up', ['--nodes', '0'], '--nodes is "0"'],
  ['up', ['--nodes', '1.5'], '--nodes is "1.5"'],
  ['up', ['--config', 'mtu'], '--config "mtu" has no value'],
  ['up', ['--count', '3'], 'There is no flag --count'],
  ['up', ['extra'], '"up" cannot use "extra"'],
  ['status', ['--json=yes'], '--json takes no value, "yes" was given'],
  ['logs', [], '"logs" needs NODE'],
  ['fly', [], 'There is no command "fly"'],
])('parseArguments() of %s %j says: %s', (command, args, message) => {
  expect(() => parseArguments(command, args)).toThrow(message);
  expect(() => parseArguments(command, args)).toThrow(UsageError);
});

test('parseArguments() with --help asks for nothing else', () => {
  expect(parseArguments('logs', ['--help']).help).toBe(true);
});

test('assertNothingKeptByNpm() finds a flag that npm took for its own', () => {
  const env = { npm_lifecycle_event: 'up', npm_config_stack: 'mine' };
  expect(() => assertNothingKeptByNpm('up', env)).toThrow('"npm run up -- --stack ..."');
  expect(() => assertNothingKeptByNpm('up', { npm_lifecycle_event: 'up', npm_config_yes: 'true' })).not.toThrow();
  // Inside another npm script: the variables are of that one.
  expect(() => assertNothingKeptByNpm('up', { ...env, npm_lifecycle_event: 'test' })).not.toThrow();
});

test('hintAtKeptStack() sees that npm took -s for its own', () => {
  const env = { npm_lifecycle_event: 'status', npm_config_loglevel: 'silent' };
  expect(hintAtKeptStack('status', ['stranger'], env)).toContain('"npm run status -- -s stranger"');
  expect(hintAtKeptStack('logs', ['mine', 'node-0'], { ...env, npm_lifecycle_event: 'logs' })).toContain('-s mine');
  expect(hintAtKeptStack('status', ['stranger'], { ...env, npm_config_loglevel: 'notice' })).toBeUndefined();
  // Silence was meant.
  expect(hintAtKeptStack('status', ['node-7'], env)).toBeUndefined();
  expect(hintAtKeptStack('status', ['-s', 'stranger'], env)).toBeUndefined();
  expect(hintAtKeptStack('status', ['x', '--stack=stranger'], env)).toBeUndefined();
  expect(hintAtKeptStack('fuzz', ['x'], { ...env, npm_lifecycle_event: 'fuzz' })).toBeUndefined();
});

test.each([100, 80, 60])('usage() fits %d columns', (width) => {
  for (const name of ['', ...Object.keys(COMMANDS)]) {
    // The line that shows the words can be taken as a whole only.
    const lines = usage(name, width).split('\n').slice(1);
    expect(lines.filter((line) => line.length > width)).toEqual([]);
  }
});

test('usage() names every flag of every command', () => {
  for (const [name, { flags }] of Object.entries(COMMANDS)) {
    for (const flag of Object.keys(flags)) expect(usage(name)).toContain(flag);
    expect(usage('')).toContain(name);
  }
});
