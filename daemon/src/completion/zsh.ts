import { FLAGS } from '../flag-table.ts';
import type { FlagSpec, FlagTable, ValueHint } from '../flags.ts';
import { COMMANDS_WITH_FLAGS, CONTINUATIONS, FIRST_WORDS } from './words.ts';

export function zshCompletion(): string {
  const commands = FIRST_WORDS.map(({ word, help }) => `        ${quote(`${word}:${help}`)}`);
  const next = CONTINUATIONS.map(({ after, hint }) => `    '${after}') ${actionOf(hint)} ;;`);
  const own = COMMANDS_WITH_FLAGS.map(({ name, flags }) => `      ${name}) flags+=(\n${flagLines(flags)}\n      ) ;;`);
  return `#compdef flanneld
# Completion of flanneld for zsh: flanneld completion zsh > "\${fpath[1]}/_flanneld"
_flanneld_words() {
  local -a given commands
  local word
  for word in "\${(@)words[2,CURRENT-1]}"; do
    [[ $word == -* ]] || given+=("$word")
  done
  case "\${given[*]}" in
    '')
      commands=(
${commands.join('\n')}
      )
      _describe command commands
      ;;
${next.join('\n')}
  esac
}
_flanneld() {
  local -a flags
  local word
  flags=(
${flagLines(FLAGS)}
  )
  for word in "\${(@)words[2,CURRENT-1]}"; do
    case "$word" in
${own.join('\n')}
    esac
  done
  _arguments "\${flags[@]}" '*: :_flanneld_words'
}
compdef _flanneld flanneld
[[ $funcstack[1] == _flanneld ]] && _flanneld "$@"
`;
}

function flagLines(flags: FlagTable): string {
  return Object.entries(flags)
    .map(([name, spec]) => `    ${quote(specOf(name, spec))}`)
    .join('\n');
}

/** Of _arguments: `-name=` takes its value behind `=` or as the next word, `*` may be repeated. */
function specOf(name: string, { kind, help, hint }: FlagSpec): string {
  const text = `[${help.replaceAll(/[\\[\]:]/g, '\\$&')}]`;
  if (kind === 'boolean') return `-${name}${text}`;
  return `${kind === 'list' ? '*' : ''}-${name}=${text}:value:${hint === undefined ? ' ' : valuesOf(hint)}`;
}

function valuesOf(hint: ValueHint): string {
  switch (hint) {
    case 'file':
      return '_files';
    case 'directory':
      return '_files -/';
    case 'interface':
      return '_net_interfaces';
    default:
      return `(${hint.join(' ')})`;
  }
}

function actionOf(hint: ValueHint): string {
  return typeof hint === 'string' ? valuesOf(hint) : `compadd ${hint.join(' ')}`;
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
