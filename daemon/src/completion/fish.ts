import { FLAGS } from '../flag-table.ts';
import type { FlagSpec, FlagTable, ValueHint } from '../flags.ts';
import { COMMANDS_WITH_FLAGS, CONTINUATIONS, FIRST_WORDS } from './words.ts';

export function fishCompletion(): string {
  const after = (words: string): string => `-n ${quote(`__flanneld_after ${words}`.trim())}`;
  return [
    '# Completion of flanneld for fish: flanneld completion fish | source',
    'function __flanneld_given',
    '    set -l words (commandline -opc)',
    "    string match -v -- '-*' $words[2..]",
    'end',
    'function __flanneld_after',
    '    test (string join " " -- (__flanneld_given) "") = (string join " " -- $argv "")',
    'end',
    'complete -c flanneld -f',
    ...FIRST_WORDS.map(({ word, help }) => `complete -c flanneld ${after('')} -a ${word} -d ${quote(help)}`),
    ...CONTINUATIONS.map((next) => `complete -c flanneld ${after(next.after)} ${valuesOf(next.hint)}`),
    ...flagLines(FLAGS, ''),
    ...COMMANDS_WITH_FLAGS.flatMap(({ name, flags }) =>
      flagLines(flags, `-n ${quote(`contains -- ${name} (__flanneld_given)`)} `),
    ),
    '',
  ].join('\n');
}

function flagLines(flags: FlagTable, condition: string): string[] {
  return Object.entries(flags).map(
    ([name, spec]) => `complete -c flanneld ${condition}${optionOf(name)} -d ${quote(spec.help)}${valueFlagsOf(spec)}`,
  );
}

/** Long options with one dash are "old" ones. */
function optionOf(name: string): string {
  return name.length === 1 ? `-s ${name}` : `-o ${name} -l ${name}`;
}

function valueFlagsOf({ kind, hint }: FlagSpec): string {
  if (kind === 'boolean') return '';
  if (hint === undefined) return ' -x';
  return hint === 'file' ? ' -r -F' : ` -x ${valuesOf(hint)}`;
}

function valuesOf(hint: ValueHint): string {
  switch (hint) {
    case 'file':
      return '-F';
    case 'directory':
      return "-a '(__fish_complete_directories)'";
    case 'interface':
      return "-a '(ls /sys/class/net)'";
    default:
      return `-a ${quote(hint.join(' '))}`;
  }
}

function quote(text: string): string {
  return `'${text.replaceAll(/[\\']/g, '\\$&')}'`;
}
