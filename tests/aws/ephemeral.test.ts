/**
 * An environment for one run in AWS, by the real CLI against the double of the provider. Systems Manager is made up as well, as an
 * `aws` on PATH: what it is asked is in the right form, but nothing of it runs.
 */
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { ciStackName } from '../../tools/ci/names.ts';
import type { Report } from '../../tools/ci/report.ts';
import { makeArtifact } from './support/artifacts.ts';
import { Double, REPOSITORY } from './support/double.ts';

jest.setTimeout(600_000);

/** Keeps each script that is sent below the name of its command; every check passes but those in FAILING. */
const AWS = `#!/usr/bin/env node
const { readFileSync, writeFileSync } = require('node:fs');
const { gzipSync } = require('node:zlib');
const [service, operation, ...args] = process.argv.slice(2);
const flag = (name) => args[args.indexOf(name) + 1];
const print = (value) => console.log(JSON.stringify(value));
const scripts = __dirname + '/scripts/';
if (operation === 'describe-instances') {
  const Instances = ['10.64.0.4', '10.64.8.4'].map((PrivateIpAddress, i) => ({ InstanceId: 'i-' + i, PrivateIpAddress }));
  print({ Reservations: [{ Instances }] });
} else if (operation === 'describe-instance-information') {
  print({ InstanceInformationList: [{ PingStatus: 'Online' }] });
} else if (operation === 'send-command') {
  const { InstanceIds: [id], Parameters } = JSON.parse(flag('--cli-input-json'));
  const CommandId = id + '.' + process.pid;
  writeFileSync(scripts + CommandId, Parameters.commands.join('\\n'));
  print({ Command: { CommandId } });
} else {
  const id = flag('--command-id');
  const script = readFileSync(scripts + id, 'utf8');
  const plan = /plan=.*echo (\\S+) /.exec(script);
  const failing = (process.env.FAILING ?? '').split(',');
  const said = (name, { self, targets }) => targets.flatMap((to) => to.checks.map((check) => ({
    from: self.name, to: to.name, check, milliseconds: 1, ...(failing.includes(check) && { problem: 'made up' }),
  })));
  const report = plan && gzipSync(JSON.stringify(said(id, JSON.parse(Buffer.from(plan[1], 'base64'))))).toString('base64');
  print({ Status: 'Success', StandardOutputContent: report ?? '10.244.' + id[2] + '.2\\n' });
}
`;

const directory = mkdtempSync(join(tmpdir(), 'flannel-ci-aws-'));
let double: Double;

beforeAll(async () => {
  mkdirSync(join(directory, 'bin', 'scripts'), { recursive: true });
  mkdirSync(join(directory, 'state'));
  writeFileSync(join(directory, 'bin', 'aws'), AWS, { mode: 0o755 });
  double = await Double.start();
});

afterAll(async () => {
  await double.stop();
  rmSync(directory, { recursive: true, force: true });
});

async function ephemeral(branch: string, env: Record<string, string>): Promise<{ code: number | null; said: string }> {
  const artifact = (product: 'flannel' | 'etcd') => makeArtifact(directory, product, '1', 'amd64').directory;
  const args = ['--environment', 'aws', '--branch', branch, '--commit', 'c0ffee', '--ttl', '2'];
  const settings = [`artifact=${artifact('flannel')}`, `etcdArtifact=${artifact('etcd')}`];
  const config = settings.flatMap((setting) => ['--config', setting]);
  const report = ['--report', join(directory, 'report.json')];
  const child = spawn('node', ['tools/run.mjs', 'ephemeral', ...args, ...config, ...report], {
    cwd: REPOSITORY,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...process.env,
      PATH: `${join(directory, 'bin')}${delimiter}${process.env.PATH}`,
      PULUMI_BACKEND_URL: `file://${join(directory, 'state')}`,
      PULUMI_HOME: join(directory, 'home'),
      PULUMI_CONFIG_PASSPHRASE: 'a passphrase of the tests',
      PULUMI_DEBUG_PROVIDERS: double.providers,
      PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION: 'true',
      ...env,
    },
  });
  const code = new Promise<number | null>((resolve) => child.once('close', resolve));
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
  return { code: await code, said: `${stdout}\n${stderr}` };
}

const report = () => JSON.parse(readFileSync(join(directory, 'report.json'), 'utf8')) as Report;

test('a run makes the stack with the settings of CI, keeps to the policies, and leaves nothing in the account', async () => {
  const { code, said } = await ephemeral('topic', {});
  expect([code, said]).toEqual([0, expect.stringContaining('passed; the stack')]);
  const stack = ciStackName({ branch: 'topic', commit: 'c0ffee', environment: 'aws' });
  expect(report()).toMatchObject({ stack, outcome: 'passed', removed: true });
  expect(report().checks).toHaveLength(14);
  const [vpc] = (await double.done('create')).filter(({ type }) => type === 'aws:ec2/vpc:Vpc');
  expect(JSON.stringify(vpc)).toContain(stack);
  expect((await double.resources()).map(({ urn }) => urn)).toEqual([]);
  expect(said).not.toContain('PRIVATE KEY');
});

test('a run that does not pass leaves nothing either', async () => {
  const { code, said } = await ephemeral('topic', { FAILING: 'mtu' });
  expect([code, said]).toEqual([1, expect.stringMatching(/conformance: failed .*2 of 14 checks failed/)]);
  expect(report()).toMatchObject({ outcome: 'failed', removed: true });
  expect((await double.resources()).map(({ urn }) => urn)).toEqual([]);
});
