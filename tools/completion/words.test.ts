import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { COMMANDS } from '../usage.mjs';
import { completeLine } from './words.mjs';

jest.setTimeout(60_000); // it starts shells and Node

const found = {
  stacks: () => ['dev', 'k8s'],
  machines: (stack: string) => (stack === 'k8s' ? ['control-0', 'node-0'] : ['etcd-0']),
  settings: () => ['nodes', 'publish'],
};
const complete = (line: string) => completeLine(line, found);

test.each([
  ['npm run kube', ['kubeconfig', 'kubectl']],
  ['npm run up ', ['--']],
  ['npm run up -- --k', ['--kubernetes']],
  ['npm run up -- --stack ', ['dev', 'k8s']],
  ['npm run up -- -s k', ['k8s']],
  ['npm run up -- --backend h', ['host-gw']],
  ['npm run up -- --config n', ['nodes=']],
  ['npm run up -- --config nodes=3 --conf', ['--config']],
  ['npm run up -- --kubernetes --k', []],
  ['npm run shell -- n', []],
  ['npm run shell -- -s k8s n', ['node-0']],
  ['npm run shell -- --stack=k8s c', ['control-0']],
  ['npm run shell -- -s k8s node-0 l', []],
  ['npm run kubeconfig -- -s k8s m', ['merge']],
  ['npm run nonsense -- -', []],
])('completeLine(%j)', (line, words) => {
  expect(complete(line)).toEqual(words);
});

test('completeLine() knows all commands and their flags', () => {
  expect(complete('npm run ')).toEqual(Object.keys(COMMANDS).sort());
  for (const [name, { flags }] of Object.entries(COMMANDS)) {
    expect(complete(`npm run ${name} -- --`)).toEqual(Object.keys(flags).sort());
  }
});

test('bash completes a line in the checkout, and leaves others to what completed npm before', () => {
  const script = `
    before() { COMPREPLY=(before); }
    complete -F before npm
    . completion/npm-run.bash
    press() {
      COMP_LINE=$1 COMP_POINT=\${#1} COMPREPLY=()
      read -ra COMP_WORDS <<<"$1"
      COMP_CWORD=$((\${#COMP_WORDS[@]} - 1))
      _flannel_ts npm "\${COMP_WORDS[COMP_CWORD]}" ""
      echo "$1:" "\${COMPREPLY[@]}"
    }
    press 'npm run kubect'
    press 'npm run up -- --wa'
    press 'npm inst'
    cd / && press 'npm run kubect'`;
  const { stdout, stderr } = spawnSync('bash', ['--norc', '-c', script], {
    cwd: join(__dirname, '..'),
    encoding: 'utf8',
  });
  expect([stderr, stdout.trim().split('\n')]).toEqual([
    '',
    ['npm run kubect: kubectl', 'npm run up -- --wa: --wait', 'npm inst: before', 'npm run kubect: before'],
  ]);
});
