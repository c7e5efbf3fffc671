import { createRequire } from 'node:module';
import type * as program from '../../../tests/aws/preview.ts';
import { build } from '../../build/build.ts';
import { bundle } from '../../build/bundle.mjs';
import { UsageError } from '../../setup/errors.mjs';
import { say } from '../../setup/progress.mjs';
import type { Context, Options } from '../context.ts';
import { checkSettings } from '../settings/check.ts';

const STACKS = ['dev', 'ci', 'prod'];

/** A preview without an account: the tests' double answers in the place of AWS. */
export async function awsPreview({ root, env }: Context, { stack: chosen, config }: Options): Promise<number> {
  const stack = chosen === 'local' ? 'dev' : chosen;
  if (!STACKS.includes(stack)) throw new UsageError(`--stack "${stack}" has no settings for AWS: use dev, ci or prod`);
  const changes = { set: config, unset: [] };
  const { stored, own } = checkSettings(root, stack, changes);
  const changed = [...own].filter(([key, value]) => stored.settings.get(key) !== value);
  await build(root, env, 'infra');
  say(`What "${stack}" would create; a double of the AWS API answers, which knows no account and no limits`);
  const file = await bundle(root, 'tests/aws/preview.ts', 'dist/tests/aws/preview.cjs');
  const { preview } = createRequire(file)(file) as typeof program;
  const settings = Object.fromEntries(changed.map(([key, value]) => [key, parsed(value)]));
  process.stdout.write(await preview(stack, settings));
  return 0;
}

function parsed(text: string): string | object {
  return /^\s*[{[]/.test(text) ? (JSON.parse(text) as object) : text;
}
