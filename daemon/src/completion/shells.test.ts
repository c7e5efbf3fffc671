/** bash completes by the generated script; of the others, that nothing is missing. */
import { execFileSync } from 'node:child_process';
import { COMMAND_NAMES, commandSpec } from '../command-table.ts';
import { FLAGS } from '../flag-table.ts';
import { completionFor, SHELLS } from './shells.ts';

/** What bash offers at the end of this line, broken into words as bash does. */
function complete(line: string): string[] {
  const words = line.split(/ +|(=)/).filter((word) => word !== undefined);
  // After a separator follows an empty word, but not after "=", which is one itself.
  const broken = words.filter((word, index) => word !== '' || (index === words.length - 1 && !line.endsWith('=')));
  const script = `${completionFor('bash')}
compopt() { :; }
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_flanneld
printf '%s\\n' "\${COMPREPLY[@]}"`;
  const output = execFileSync('bash', ['-euc', script, 'bash', ...broken], { encoding: 'utf8', cwd: __dirname });
  return output.split('\n').filter((word) => word !== '');
}

describe('bash', () => {
  test.each([
    ['flanneld st', ['status']],
    ['flanneld config ', ['check']],
    ['flanneld completion ', [...SHELLS]],
    ['flanneld completion z', ['zsh']],
    ['flanneld -engine-o', ['-engine-offload']],
    ['flanneld --engine-o', ['--engine-offload']],
    ['flanneld -engine ', ['auto', 'ebpf', 'fast', 'reference']],
    ['flanneld -engine=', ['auto', 'ebpf', 'fast', 'reference']],
    ['flanneld -engine=f', ['fast']],
    ['flanneld -iface l', ['lo']],
    ['flanneld -ip-masq cl', ['cleanup']],
    ['flanneld -etcd-prefix /x -v=1 cl', ['cleanup']],
    ['flanneld -etcd-prefix cl', []],
    ['flanneld status -wa', ['-wait']],
    ['flanneld cleanup -wa', []],
    ['flanneld -wa', []],
    ['flanneld cleanup -d', ['-dry-run']],
    ['flanneld cleanup -', ['-dry-run', '-force', '-identity', '-bridge']],
    ['flanneld cleanup --', ['--dry-run', '--force', '--identity', '--bridge']],
    ['flanneld cleanup -subnet-f', ['-subnet-file']],
    ['flanneld config check shells.tes', ['shells.test.ts']],
    ['flanneld config check -iface', ['-iface', '-iface-regex', '-iface-can-reach']],
    ['flanneld support -o=shells.tes', ['shells.test.ts']],
    ['flanneld status x', []],
  ])('completes %j to %j', (line, words) => expect(complete(line)).toEqual(words));

  test('completes nothing to every command, and a dash to every flag', () => {
    expect(complete('flanneld ')).toEqual(COMMAND_NAMES.filter((name) => name !== 'run').map((n) => n.split(' ')[0]));
    expect(complete('flanneld -')).toEqual(Object.keys(FLAGS).map((name) => `-${name}`));
  });
});

test('SHELLS are those that the command takes', () => {
  expect(commandSpec('completion').operands?.[0]?.values).toEqual(SHELLS);
});

test.each(['zsh', 'fish'])('%s knows every command and every flag', (shell) => {
  const script = completionFor(shell);
  const flags = COMMAND_NAMES.flatMap((name) => Object.keys(commandSpec(name).flags));
  const words = script.split(/[^\w-]+/);
  for (const name of [...Object.keys(FLAGS), ...flags]) {
    expect(words.some((word) => word === name || word === `-${name}`)).toBe(true);
  }
  for (const name of COMMAND_NAMES) if (name !== 'run') expect(words).toEqual(expect.arrayContaining(name.split(' ')));
});
