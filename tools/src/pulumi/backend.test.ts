import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { removeScratch, scratch, write } from '../../testing/setup.ts';
import { prepareBackend } from './backend.ts';

afterEach(removeScratch);

/** A user with this environment, and a home without a login. */
function user(env: NodeJS.ProcessEnv = {}) {
  const home = scratch();
  return { root: '', cache: join(home, 'my cache'), env: { HOME: home, ...env } };
}

test('prepareBackend() keeps stacks in files of the cache when nothing else is chosen', () => {
  const context = user();
  const { env, directory, inCache } = prepareBackend(context);
  expect([directory, inCache]).toEqual([join(context.cache, 'state'), true]);
  expect(env.PULUMI_BACKEND_URL).toBe(`file://${context.env.HOME}/my%20cache/state`);
  expect(env.PULUMI_HOME).toBe(join(context.cache, 'pulumi-home'));
  expect(statSync(directory!).mode & 0o777).toBe(0o700);
});

test('prepareBackend() makes a passphrase once, for this user only', () => {
  const context = user();
  const file = prepareBackend(context).env.PULUMI_CONFIG_PASSPHRASE_FILE!;
  const first = readFileSync(file, 'utf8');
  expect(first.length).toBeGreaterThan(40);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(prepareBackend(context).env.PULUMI_CONFIG_PASSPHRASE_FILE).toBe(file);
  expect(readFileSync(file, 'utf8')).toBe(first);
});

test('prepareBackend() leaves a passphrase of the user alone, even an empty one', () => {
  expect(prepareBackend(user({ PULUMI_CONFIG_PASSPHRASE: '' })).env.PULUMI_CONFIG_PASSPHRASE_FILE).toBeUndefined();
  expect(prepareBackend(user({ PULUMI_CONFIG_PASSPHRASE_FILE: '/x' })).env.PULUMI_CONFIG_PASSPHRASE_FILE).toBe('/x');
});

test('prepareBackend() follows PULUMI_BACKEND_URL', () => {
  const files = prepareBackend(user({ PULUMI_BACKEND_URL: 'file:///srv/st%20ate?no_tmp_dir=true' }));
  expect([files.directory, files.env.PULUMI_HOME, files.inCache]).toEqual(['/srv/st ate', undefined, false]);
  const home = user({ PULUMI_BACKEND_URL: 'file://~/state' });
  expect(prepareBackend(home).directory).toBe(`${home.env.HOME}/state`);
  expect(prepareBackend(user({ PULUMI_BACKEND_URL: 's3://bucket' })).directory).toBeUndefined();
});

test('prepareBackend() follows a login', () => {
  const context = user();
  write(join(context.env.HOME, '.pulumi/credentials.json'), '{"current":"s3://bucket"}');
  const { env, directory } = prepareBackend(context);
  expect([env.PULUMI_BACKEND_URL, env.PULUMI_HOME, directory]).toEqual([undefined, undefined, undefined]);
  write(join(context.env.HOME, '.pulumi/credentials.json'), '{"current":""}');
  expect(prepareBackend(context).directory).toBe(join(context.cache, 'state'));
});

test('prepareBackend() follows an access token', () => {
  expect(prepareBackend(user({ PULUMI_ACCESS_TOKEN: 'x' })).env.PULUMI_BACKEND_URL).toBeUndefined();
});
