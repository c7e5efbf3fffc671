import { ToolError } from '../../setup/errors.mjs';
import type { Context } from '../../src/context.ts';
import type { Outputs } from '../../src/report/outputs.ts';
import { LocalSubstrate } from './local.ts';
import type { Substrate } from './substrate.ts';

export function makeSubstrate({ root }: Context, stack: string, environment: string, outputs: Outputs): Substrate {
  if (environment === 'local') return new LocalSubstrate(root, stack, outputs);
  throw new ToolError('NO_SUBSTRATE', `There are no conformance tests for the environment "${environment}"`);
}
