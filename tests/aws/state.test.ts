/**
 * The place of the state of stacks in AWS: the template, made by moto's CloudFormation, then used by the real Pulumi CLI as its
 * backend and for its secrets. moto stands for S3 and KMS; it checks no permissions here.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { makeContext } from '../../tools/setup/context.mjs';
import { findPulumi } from '../../tools/setup/pulumi.mjs';
import { STATE_STACK, stateBucket, stateEnvironment, stateTemplate } from '../../tools/src/aws/state-template.ts';
import { Moto } from './moto/server.ts';
import { REPOSITORY } from './support/double.ts';

jest.setTimeout(600_000);

const ACCOUNT = '123456789012'; // moto's
const REGION = 'eu-central-1';

let moto: Moto;
const directory = mkdtempSync(join(tmpdir(), 'flannel-state-'));

beforeAll(async () => {
  moto = await Moto.start();
  await moto.ask('cloudformation', 'CreateStack', {
    StackName: STATE_STACK,
    TemplateBody: JSON.stringify(stateTemplate(ACCOUNT, REGION)),
  });
});

afterAll(async () => {
  await moto?.stop();
  rmSync(directory, { recursive: true, force: true });
});

async function pulumi(...args: string[]) {
  const found = (await findPulumi(makeContext(REPOSITORY, process.env)))!;
  const { PULUMI_BACKEND_URL, FLANNEL_SECRETS_PROVIDER } = stateEnvironment(ACCOUNT, REGION);
  const url = new URL(moto.url);
  const { status, stdout, stderr } = spawnSync('pulumi', [...args, '--non-interactive'], {
    cwd: directory,
    encoding: 'utf8',
    env: {
      PATH: [found, process.env.PATH].join(delimiter),
      HOME: directory,
      PULUMI_SKIP_UPDATE_CHECK: 'true',
      PULUMI_BACKEND_URL: `${PULUMI_BACKEND_URL}&endpoint=${url.host}&disableSSL=true&s3ForcePathStyle=true`,
      AWS_ENDPOINT_URL_KMS: url.origin,
      AWS_ACCESS_KEY_ID: 'test',
      AWS_SECRET_ACCESS_KEY: 'test',
      FLANNEL_SECRETS_PROVIDER,
    },
  });
  return { status, said: stdout + stderr, provider: FLANNEL_SECRETS_PROVIDER! };
}

test('has a bucket and a key that the Pulumi CLI keeps stacks and their secrets with', async () => {
  const project = { name: 'state', runtime: 'yaml', config: {} };
  writeFileSync(join(directory, 'Pulumi.yaml'), JSON.stringify(project));
  const { provider } = await pulumi('version');
  expect(await pulumi('stack', 'init', 'one', '--secrets-provider', provider)).toMatchObject({ status: 0 });
  expect(await pulumi('config', 'set', '--secret', 'password', 'not-to-be-seen', '--stack', 'one')).toMatchObject({
    status: 0,
  });
  const listed = await pulumi('stack', 'ls', '--json');
  expect([listed.status, listed.said]).toEqual([0, expect.stringContaining('"name": "one"')]);
  const read = await pulumi('config', 'get', 'password', '--stack', 'one');
  expect([read.status, read.said]).toEqual([0, expect.stringMatching(/^not-to-be-seen$/m)]);
});

test('is encrypted with its own key', async () => {
  const answer = await fetch(`${moto.url}${stateBucket(ACCOUNT, REGION)}?encryption`);
  expect(await answer.text()).toContain('<SSEAlgorithm>aws:kms</SSEAlgorithm>');
});

test('is versioned, closed, served by TLS alone, and outlives its CloudFormation stack', () => {
  // moto's CloudFormation passes over all of this.
  const { Resources } = stateTemplate(ACCOUNT, REGION);
  expect(Resources.Bucket.Properties.VersioningConfiguration).toEqual({ Status: 'Enabled' });
  expect(Object.values(Resources.Bucket.Properties.PublicAccessBlockConfiguration)).toEqual([true, true, true, true]);
  expect(JSON.stringify(Resources.OnlyByTls)).toContain('"Deny"');
  for (const resource of Object.values(Resources)) expect(resource).toMatchObject({ DeletionPolicy: 'Retain' });
});
