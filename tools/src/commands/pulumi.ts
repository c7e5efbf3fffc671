import { build } from '../../build/build.ts';
import type { Context, Options } from '../context.ts';
import { Pulumi } from '../pulumi/cli.ts';

/** Commands that work on a stack, and so take --stack. */
const ON_STACK = ['cancel', 'config', 'console', 'destroy', 'down', 'import', 'logs', 'preview', 'refresh', 'stack'];
const ON_STACK_TOO = ['state', 'up', 'update', 'watch'];
/** Of `pulumi stack`: those that name it as an argument, and those that are about all. */
const BY_ARGUMENT = ['init', 'rm', 'select'];
const ON_ALL = ['ls', 'unselect'];

/** Any Pulumi command, with the same program, state and passphrase as the others. */
export async function pulumiCommand(context: Context, { stack, words }: Options): Promise<number> {
  await build(context.root, context.env);
  return new Pulumi(context).show(withStack(words, stack));
}

/** The command with the stack where Pulumi wants it, unless it is named already. */
export function withStack(words: readonly string[], stack: string): string[] {
  const [command = '', subcommand = '', ...rest] = words;
  const named = words.some((word) => word === '-s' || /^--stack(?:=|$)/.test(word));
  // A misspelt command is Pulumi's to report: with a flag added it would complain of that instead.
  const known = ON_STACK.includes(command) || ON_STACK_TOO.includes(command);
  if (named || !known || words.includes('--help') || words.includes('-h')) return [...words];
  if (command === 'stack' && ON_ALL.includes(subcommand)) return [...words];
  if (command === 'stack' && BY_ARGUMENT.includes(subcommand)) {
    return rest.some((word) => !word.startsWith('-')) ? [...words] : [...words, stack];
  }
  return [...words, '--stack', stack];
}
