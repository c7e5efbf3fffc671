import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { removeScratch, scratch, write } from '../../testing/setup.ts';
import type { Pulumi } from './cli.ts';
import {
  assertStateIsKept,
  configure,
  configValue,
  createStack,
  listStacks,
  prepareState,
  stackExists,
  storeSettings,
  whileAlone,
} from './stack.ts';

afterEach(removeScratch);
beforeEach(() => {
  jest.spyOn(process.stderr, 'write').mockReturnValue(true);
});
afterEach(() => {
  jest.restoreAllMocks();
});

/** Stands for the CLI: answers by the first two words, and keeps what it was asked. */
function fake(answers: Readonly<Record<string, string>> = {}) {
  const calls: { args: readonly string[]; input: string | undefined }[] = [];
  const ask = async (args: readonly string[], input?: string) => {
    calls.push({ args, input });
    return answers[args.slice(0, 2).join(' ')] ?? '';
  };
  return { pulumi: { root: scratch(), backend: { env: {} }, ask } as unknown as Pulumi, calls };
}

test('configure() sets values as `pulumi config --json` shows them', async () => {
  const { pulumi, calls } = fake();
  await configure(pulumi, 'mine', { nodes: '5', backend: '{"Type":"udp"}', 'aws:region': 'x' });
  const values = {
    'flannel:nodes': { value: '5' },
    'flannel:backend': { value: '{"Type":"udp"}', objectValue: { Type: 'udp' } },
    'aws:region': { value: 'x' },
  };
  expect(calls.map(({ args }) => args)).toEqual([
    ['config', 'set-all', '--stack', 'mine', '--json', JSON.stringify(values)],
  ]);
});

test('whileAlone() lets one change the stack at a time', async () => {
  const { pulumi } = fake();
  const file = join(scratch(), 'locks', 'mine');
  Object.assign(pulumi, { lockFile: () => file, mark: () => `mine in ${file}` });
  let inside = 0;
  let most = 0;
  const work = async () => {
    most = Math.max(most, ++inside);
    await sleep(30);
    inside--;
  };
  await Promise.all([1, 2, 3].map(() => whileAlone(pulumi, 'mine', work)));
  expect([most, inside]).toEqual([1, 0]);
});

test('storeSettings() writes what differs, removes what is gone, and touches nothing else', async () => {
  const { pulumi, calls } = fake();
  const settings = new Map(Object.entries({ nodes: '2', podsPerNode: '1', nodez: '3' }));
  const stored = { file: 'stacks/Pulumi.mine.yaml', exists: true, settings, foreign: ['flanel:nodes', 'other:x'] };
  const own = new Map(Object.entries({ nodes: '4', podsPerNode: '1' }));
  await storeSettings(pulumi, 'mine', { stored, own }, { set: { nodes: '4' }, unset: ['nodez', 'flanel:nodes'] });
  expect(calls.map(({ args }) => args)).toEqual([
    ['config', 'set-all', '--stack', 'mine', '--json', '{"flannel:nodes":{"value":"4"}}'],
    ['config', 'rm-all', '--stack', 'mine', 'flannel:nodez', 'flanel:nodes'],
  ]);
  calls.length = 0;
  await storeSettings(pulumi, 'mine', { stored, own: settings }, { set: { nodes: '2' }, unset: [] });
  expect(calls).toEqual([]);
});

test('configure() asks nothing of Pulumi when there is nothing to set', async () => {
  const { pulumi, calls } = fake();
  await configure(pulumi, 'mine', {});
  expect(calls).toEqual([]);
});

test('configValue() names the setting that is not valid JSON', () => {
  expect(() => configValue('backend', '{"Type":')).toThrow(/^--config backend: "\{"Type":" is not valid JSON/);
});

test('stackExists() finds a stack by its name, also where an organization stands before it', async () => {
  const { pulumi } = fake({ 'stack ls': '[{"name":"organization/flannel/mine"},{"name":"other"}]' });
  expect(await stackExists(pulumi, 'mine')).toBe(true);
  expect(await stackExists(pulumi, 'other')).toBe(true);
  expect(await stackExists(pulumi, 'flannel')).toBe(false);
});

test('listStacks() asks again when another command is writing a stack, and says what else is wrong', async () => {
  const { pulumi } = fake({ 'stack ls': '[{"name":"mine"}]' });
  const { ask } = pulumi;
  const failures = ['EOF\n', 'unexpected end of JSON input'];
  pulumi.ask = async (args) => {
    const failure = failures.shift();
    if (failure !== undefined) throw new Error(`"pulumi stack ls" failed: ${failure}`);
    return ask(args);
  };
  expect(await listStacks(pulumi)).toEqual([{ name: 'mine' }]);
  failures.push('no such bucket');
  await expect(listStacks(pulumi)).rejects.toThrow('no such bucket');
});

test('createStack() drops the salt of a former passphrase, but never where something is encrypted by it', async () => {
  const { pulumi } = fake();
  const file = join(pulumi.root, 'stacks/Pulumi.mine.yaml');
  write(file, 'encryptionsalt: v1:abc\nconfig:\n  flannel:nodes: "5"\n');
  await createStack(pulumi, 'mine');
  expect(readFileSync(file, 'utf8')).toBe('config:\n  flannel:nodes: "5"\n');
  const secret = 'encryptionsalt: v1:abc\nconfig:\n  flannel:password:\n    secure: v1:xyz\n';
  write(file, secret);
  await createStack(pulumi, 'mine');
  expect(readFileSync(file, 'utf8')).toBe(secret);
});

test('prepareState() gives the state back without pending operations and foreign code, and leaves a state without any alone', async () => {
  const state = (more: object) => JSON.stringify({ version: 3, deployment: { resources: [], ...more } });
  const dirty = fake({ 'stack export': state({ pending_operations: [{}, {}] }) });
  await prepareState(dirty.pulumi, 'mine');
  expect(dirty.calls[1]).toEqual({ args: ['stack', 'import', '--stack', 'mine'], input: state({}) });
  const type = 'pulumi-nodejs:dynamic/local:NodeSoftware';
  const resource = (text: string) => ({ type, urn: 'x', inputs: { __provider: text }, outputs: { __provider: text } });
  const healthy = resource('exports.handler = () => require("@flannel-ts/infra/host")');
  const faulty = fake({ 'stack export': state({ resources: [healthy, resource('throw new Error()')] }) });
  await prepareState(faulty.pulumi, 'mine');
  const { resources } = (JSON.parse(faulty.calls[1]!.input!) as { deployment: { resources: (typeof healthy)[] } })
    .deployment;
  expect(resources[0]).toEqual(healthy);
  expect(resources[1]!.outputs.__provider).toContain('handlers.node.delete');
  const clean = fake({ 'stack export': state({ resources: [healthy] }) });
  await prepareState(clean.pulumi, 'mine');
  expect(clean.calls).toHaveLength(1);
});

test('createStack() encrypts with the key that the variable names', async () => {
  const { pulumi, calls } = fake();
  Object.assign(pulumi.backend.env, { FLANNEL_SECRETS_PROVIDER: 'awskms://alias/a?region=r' });
  await createStack(pulumi, 'mine');
  expect(calls[0]!.args.slice(-2)).toEqual(['--secrets-provider', 'awskms://alias/a?region=r']);
});

test('assertStateIsKept() refuses only the place that nobody has chosen', () => {
  const pulumi = (inCache: boolean) => ({ backend: { env: {}, directory: '/home/me/.cache/x', inCache } }) as Pulumi;
  expect(() => assertStateIsKept(pulumi(false), 'dev')).not.toThrow();
  expect(() => assertStateIsKept(pulumi(true), 'dev')).toThrow(
    'Stack "dev" is in a cloud, and its state would be in /home/me/.cache/x, which may be deleted at any time: "npm run aws:state" creates a bucket',
  );
});
