/** What may stand where on flanneld's command line. Pure. */
import { COMMAND_FLAGS, COMMAND_NAMES, type CommandName, commandSpec } from '../command-table.ts';
import { FLAGS } from '../flag-table.ts';
import type { FlagSpec, FlagTable, ValueHint } from '../flags.ts';

export const ALL_FLAGS: readonly (readonly [string, FlagSpec])[] = Object.entries<FlagSpec>({
  ...FLAGS,
  ...COMMAND_FLAGS,
});

/** The daemon itself has no word. */
const NAMES = COMMAND_NAMES.filter((name) => name !== 'run');

export interface CommandFlags {
  readonly name: CommandName;
  readonly flags: FlagTable;
}

/** Commands with flags of their own. */
export const COMMANDS_WITH_FLAGS: readonly CommandFlags[] = NAMES.map((name) => ({
  name,
  flags: commandSpec(name).flags,
})).filter(({ flags }) => Object.keys(flags).length > 0);

export interface Word {
  readonly word: string;
  readonly help: string;
}

/** Of commands of several words the first ones. */
export const FIRST_WORDS: readonly Word[] = NAMES.map((name) => ({
  word: name.split(' ')[0]!,
  help: commandSpec(name).help,
}));

export interface Continuation {
  /** The words before. */
  readonly after: string;
  readonly hint: ValueHint;
}

/** The second word of a command, or what it is about. */
export const CONTINUATIONS: readonly Continuation[] = NAMES.flatMap((name) => {
  const [first, ...more] = name.split(' ');
  const { operands = [] } = commandSpec(name);
  return [
    ...(more.length === 0 ? [] : [{ after: first!, hint: more }]),
    ...operands.map(({ values }): Continuation => ({ after: name, hint: values ?? 'file' })),
  ];
});
