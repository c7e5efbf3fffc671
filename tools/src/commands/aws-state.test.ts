import { readFileSync } from 'node:fs';
import type { Context, Options } from '../context.ts';
import { awsState, deployState } from './aws-state.ts';

beforeEach(() => {
  jest.spyOn(process.stderr, 'write').mockReturnValue(true); // progress
});
afterEach(() => {
  jest.restoreAllMocks();
});

test('deployState() deploys the template into the account of the credentials, and gives the variables that lead there', async () => {
  const asked: string[][] = [];
  const variables = await deployState(async (args) => {
    asked.push([...args]);
    if (args[0] === 'sts') return { Account: '123456789012' };
    const file = args[args.indexOf('--template-file') + 1]!;
    expect(JSON.parse(readFileSync(file, 'utf8')).Resources.Bucket.Properties.BucketName).toBe(
      'flannel-state-123456789012-eu-west-1',
    );
    return undefined;
  }, 'eu-west-1');
  expect(asked.map(([service, operation]) => `${service} ${operation}`)).toEqual([
    'sts get-caller-identity',
    'cloudformation deploy',
  ]);
  expect(variables).toEqual({
    PULUMI_BACKEND_URL: 's3://flannel-state-123456789012-eu-west-1?region=eu-west-1',
    FLANNEL_SECRETS_PROVIDER: 'awskms://alias/flannel-state?region=eu-west-1',
  });
});

test.each([
  [undefined, 'No region is given: use --region eu-central-1, or AWS_REGION'],
  ['frankfurt', '--region "frankfurt" is none: use a region like eu-central-1'],
])('awsState() refuses the region %s', async (region, sentence) => {
  const options = { ...(region !== undefined && { region }) } as Options;
  await expect(awsState({ env: {} } as Context, options)).rejects.toThrow(sentence);
});
