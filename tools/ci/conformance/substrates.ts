import { awsCli } from '@flannel-ts/infra/aws/cli';
import { ToolError } from '../../setup/errors.mjs';
import type { Context } from '../../src/context.ts';
import type { Outputs } from '../../src/report/outputs.ts';
import { PROJECT } from '../../src/settings/effective.ts';
import { AwsSubstrate } from './aws.ts';
import { LocalSubstrate } from './local.ts';
import type { Substrate } from './substrate.ts';

export interface Place {
  readonly stack: string;
  readonly environment: string;
  /** Of AWS. */
  readonly region: string | undefined;
}

export function makeSubstrate(context: Context, { stack, environment, region }: Place, outputs: Outputs): Substrate {
  const { root, env } = context;
  if (environment === 'local') return new LocalSubstrate(root, stack, outputs);
  if (region === undefined) throw new ToolError('NO_REGION', `The stack "${stack}" has no setting "region"`);
  return new AwsSubstrate(root, `${PROJECT}/${stack}`, outputs.nodes, awsCli(region, env));
}
