import { ToolError } from '../../setup/errors.mjs';
import type { Context, Options } from '../context.ts';
import { Pulumi } from '../pulumi/cli.ts';
import { flag } from '../pulumi/names.ts';
import { readOutputs } from '../pulumi/stack.ts';
import { asOutputs } from '../report/outputs.ts';
import { report } from '../report/report.ts';

export async function status(context: Context, { stack, json }: Options): Promise<number> {
  const value = await readOutputs(new Pulumi(context), stack);
  if (json) {
    process.stdout.write(`${JSON.stringify(value, undefined, 2)}\n`);
    return 0;
  }
  const outputs = asOutputs(value);
  if (outputs === undefined) {
    throw new ToolError('INCOMPLETE', `The stack "${stack}" has no outputs: "npm run up${flag(stack)}" completes it`);
  }
  return (await report(stack, outputs, 0)) ? 0 : 1;
}
