import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Aws, awsCli } from '@flannel-ts/infra/aws/cli';
import { UsageError } from '../../setup/errors.mjs';
import { say } from '../../setup/progress.mjs';
import { STATE_STACK, stateEnvironment, stateTemplate } from '../aws/state-template.ts';
import type { Context, Options } from '../context.ts';

const REGION = /^[a-z]{2}(-[a-z]+)+-\d$/;

/** The place of the state of stacks in AWS. CloudFormation makes what is missing, so that it can be asked for again. */
export async function awsState({ env }: Context, { region = env.AWS_REGION }: Options): Promise<number> {
  if (region === undefined) throw new UsageError('No region is given: use --region eu-central-1, or AWS_REGION');
  if (!REGION.test(region)) throw new UsageError(`--region "${region}" is none: use a region like eu-central-1`);
  process.stdout.write(formatEnvironment(await deployState(awsCli(region, env), region)));
  return 0;
}

/** Gives the variables that lead there. */
export async function deployState(aws: Aws, region: string): Promise<Readonly<Record<string, string>>> {
  const { Account } = (await aws(['sts', 'get-caller-identity'])) as { Account: string };
  const directory = mkdtempSync(join(tmpdir(), 'flannel-state-'));
  try {
    const file = join(directory, 'template.json');
    writeFileSync(file, JSON.stringify(stateTemplate(Account, region)));
    say(`Creating what is missing of the CloudFormation stack ${STATE_STACK} in account ${Account}, ${region}`);
    const deploy = ['cloudformation', 'deploy', '--stack-name', STATE_STACK, '--no-fail-on-empty-changeset'];
    await aws([...deploy, '--template-file', file]);
  } finally {
    rmSync(directory, { recursive: true });
  }
  return stateEnvironment(Account, region);
}

function formatEnvironment(variables: Readonly<Record<string, string>>): string {
  return Object.entries(variables)
    .map(([name, value]) => `export ${name}='${value}'\n`)
    .join('');
}
