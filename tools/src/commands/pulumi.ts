import { build } from '../../build/build.mjs';
import type { Context, Options } from '../context.ts';
import { Pulumi } from '../pulumi/cli.ts';

/** Commands that work on a stack, and so take --stack. */
const ON_NO_STACK = ['about', 'help', 'login', 'logout', 'plugin', 'version', 'whoami', 'install', 'new'];

/** Any Pulumi command, with the same program, state and passphrase as the others. */
export async function pulumiCommand(context: Context, { stack, words }: Options): Promise<number> {
  await build(context.root, context.env);
  const named = words.some((word) => word === '-s' || word.startsWith('--stack'));
  const onStack = !named && !ON_NO_STACK.includes(words[0] ?? '') && !words.includes('--help');
  return new Pulumi(context).show([...words, ...(onStack ? ['--stack', stack] : [])]);
}
