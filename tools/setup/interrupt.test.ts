import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { program, removeScratch, scratch, write } from '../testing/setup.ts';

const started: ChildProcess[] = [];

afterEach(() => {
  for (const child of started.splice(0)) child.kill('SIGKILL'); // its group ends with it or has a time limit
  removeScratch();
});

/** A checkout without dependencies, with a program of that script for npm. */
function checkout(npm: string): string {
  const root = scratch();
  const bun = join(root, 'node_modules/bun');
  write(join(root, 'package-lock.json'), JSON.stringify({ packages: {} }));
  write(join(bun, 'bin/bun.exe'), 'x'.repeat(2_000_000));
  program(join(root, 'bin/npm'), npm);
  return root;
}

/** The set-up in a process of its own. */
function startSetUp(root: string): ChildProcess {
  const context = `{ root: ${JSON.stringify(root)}, cache: ${JSON.stringify(join(root, 'cache'))}, env: process.env }`;
  const script = `import(${JSON.stringify(join(__dirname, 'setup.mjs'))}).then(({ setUp }) => setUp(${context}, {}))`;
  const env = { ...process.env, PATH: `${join(root, 'bin')}:${process.env.PATH}` };
  const child = spawn(process.execPath, ['-e', script], { env, cwd: root, stdio: ['ignore', 'ignore', 'ignore'] });
  started.push(child);
  return child;
}

function logOf(root: string): string[] {
  const file = join(root, 'log');
  return existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : [];
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(10);
}

/** One that nobody has waited for yet, now that its parent is gone, has ended all the same. */
function isAlive(pid: number): boolean {
  const file = `/proc/${pid}/stat`;
  return existsSync(file) && !/\) [ZX] /.test(readFileSync(file, 'utf8'));
}

/** As npm does: it takes a moment to undo what it has done. The next one finds nothing to do. */
const NPM = `
if [ -e second ]; then echo second >> log; mkdir -p node_modules; echo '{"packages":{}}' > node_modules/.package-lock.json; exit; fi
: > second
trap 'sleep 0.5; echo undone >> log; exit 130' INT TERM
echo first >> log
i=0; while [ $i -lt 600 ]; do sleep 0.05; i=$((i + 1)); done`;

test.each([
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const)('%s ends the set-up when npm has ended, and another set-up waits for that', async (signal, code) => {
  const root = checkout(NPM);
  const first = startSetUp(root);
  await until(() => logOf(root).includes('first'));
  const second = startSetUp(root);
  await sleep(300); // it waits by now, or fails below
  first.kill(signal);
  expect(await once(first, 'exit')).toEqual([code, null]);
  expect(logOf(root).slice(0, 2)).toEqual(['first', 'undone']);
  expect(await once(second, 'exit')).toEqual([0, null]);
  expect(logOf(root)).toEqual(['first', 'undone', 'second']);
});

test('a second signal kills what does not end, with its own children', async () => {
  const root = checkout(`
trap '' INT
sh -c 'trap "" INT; echo $$ >> log; exec sleep 30' &
echo $$ >> log
wait`);
  const setUp = startSetUp(root);
  await until(() => logOf(root).length === 2);
  const pids = logOf(root).map(Number);
  setUp.kill('SIGINT');
  await sleep(600); // sooner, it would count as the same Ctrl-C
  expect(pids.every(isAlive)).toBe(true);
  setUp.kill('SIGINT');
  expect(await once(setUp, 'exit')).toEqual([130, null]);
  expect(pids.some(isAlive)).toBe(false);
});
