import { FLAGS } from '../flag-table.ts';
import type { FlagTable, ValueHint } from '../flags.ts';
import { ALL_FLAGS, COMMANDS_WITH_FLAGS, CONTINUATIONS, FIRST_WORDS } from './words.ts';

const names = (flags: FlagTable): string => Object.keys(flags).join(' ');
const cases = (lines: readonly string[]): string => lines.map((line) => `      ${line} ;;`).join('\n');

export function bashCompletion(): string {
  const valued = ALL_FLAGS.filter(([, { kind }]) => kind !== 'boolean').map(([name]) => name);
  const hinted = ALL_FLAGS.flatMap(([name, { hint }]) => (hint === undefined ? [] : [`${name}) ${actionOf(hint)}`]));
  const own = COMMANDS_WITH_FLAGS.map(({ name, flags }) => `'${name}') words+=' ${names(flags)}'`);
  const first = actionOf(FIRST_WORDS.map(({ word }) => word));
  const next = CONTINUATIONS.map(({ after, hint }) => `'${after}') ${actionOf(hint)}`);
  return `# Completion of flanneld for bash: . <(flanneld completion bash)
_flanneld() {
  local cur=\${COMP_WORDS[COMP_CWORD]} flag= dash=- i=1 word name words
  local valued=' ${valued.join(' ')} '
  local -a given=()
  COMPREPLY=()
  while ((i < COMP_CWORD)); do
    word=\${COMP_WORDS[i]}
    name=\${word#-}
    name=\${name#-}
    if [[ $word != -* ]]; then
      given+=("$word")
      ((i += 1))
    elif [[ \${COMP_WORDS[i + 1]} == '=' ]]; then # -flag=value is three words
      ((i + 2 >= COMP_CWORD)) && flag=$name
      ((i += 3))
    elif [[ $valued == *" $name "* ]]; then
      ((i + 1 == COMP_CWORD)) && flag=$name
      ((i += 2))
    else
      ((i += 1))
    fi
  done
  [[ $cur == '=' ]] && cur=
  if [[ -n $flag ]]; then
    case $flag in
${cases(hinted)}
    esac
  elif [[ $cur == -* ]]; then
    words=
    case "\${given[*]}" in
${cases(own)}
    esac
    # The daemon's many flags, of which a command takes some too, would hide its own.
    [[ -n $words && $cur =~ ^--?$ ]] || words+=' ${names(FLAGS)}'
    [[ $cur == --* ]] && dash=--
    mapfile -t COMPREPLY < <(compgen -P "$dash" -W "$words" -- "\${cur#"$dash"}")
  else
    case "\${given[*]}" in
      '') ${first} ;;
${cases(next)}
    esac
  fi
}
complete -F _flanneld flanneld
`;
}

function actionOf(hint: ValueHint): string {
  switch (hint) {
    case 'file':
      return 'compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$cur")';
    case 'directory':
      return 'compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "$cur")';
    case 'interface':
      return 'mapfile -t COMPREPLY < <(compgen -W "$(ls /sys/class/net)" -- "$cur")';
    default:
      return `mapfile -t COMPREPLY < <(compgen -W '${hint.join(' ')}' -- "$cur")`;
  }
}
