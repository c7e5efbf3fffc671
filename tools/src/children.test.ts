import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { bundle } from '../build/bundle.mjs';
import { runInteractive, runWithSignals } from './children.ts';

const ROOT = join(__dirname, '..', '..');
const OUTPUT = join(ROOT, 'tools/output.mjs');
let children: string;

beforeAll(async () => {
  children = await bundle(ROOT, 'tools/src/children.ts', 'dist/tools/children.cjs');
});

/** Says what it is told, and ends at the second signal. */
const LISTENER = `trap 'n=$((n+1)); echo told; [ $n -ge 2 ] && exit 9' INT TERM; n=0; echo ready; i=0; while [ $((i+=1)) -lt 400 ]; do sleep 0.05; done`;
const QUITTER = `trap 'echo told; sleep 0.8; exit 4' INT TERM; echo ready; i=0; while [ $((i+=1)) -lt 400 ]; do sleep 0.05; done`;

/** A process that runs the script under runWithSignals and ends with its exit code. */
function start(script: string): ChildProcess {
  const code = `import(${JSON.stringify(OUTPUT)}).then(({ endWhenUnread }) => endWhenUnread());
    require(${JSON.stringify(children)}).runWithSignals('sh', ['-c', ${JSON.stringify(script)}], {}).then((code) => { process.exitCode = code; })`;
  return spawn(process.execPath, ['-e', code], { stdio: ['ignore', 'pipe', 'inherit'], detached: true });
}

/** Resolves when it has set its traps; the outcome is its exit code and what it says from then on. */
async function ready(child: ChildProcess): Promise<{ outcome: Promise<[number | null, string]> }> {
  let said = '';
  const code = new Promise<number | null>((resolve) => child.once('close', resolve));
  await new Promise<void>((resolve) => {
    child.stdout!.on('data', (chunk) => {
      said += chunk;
      resolve();
    });
  });
  const outcome = code.then((value): [number | null, string] => [value, said.replace('ready\n', '')]);
  return { outcome };
}

test('runWithSignals() passes one Ctrl-C on once, though terminal and npm both send it', async () => {
  const child = start(QUITTER);
  const { outcome } = await ready(child);
  process.kill(-child.pid!, 'SIGINT'); // the terminal: the whole group
  process.kill(child.pid!, 'SIGINT'); // npm: its child
  expect(await outcome).toEqual([4, 'told\n']);
});

test('runWithSignals() says once that a signal came', async () => {
  const code = `require(${JSON.stringify(children)}).runWithSignals('sh', ['-c', ${JSON.stringify(LISTENER)}], { onSignal: () => console.log('signal') })`;
  const child = spawn(process.execPath, ['-e', code], { stdio: ['ignore', 'pipe', 'inherit'] });
  const { outcome } = await ready(child);
  child.kill('SIGINT');
  await sleep(600);
  child.kill('SIGINT');
  const [, said] = await outcome;
  expect(said.match(/signal/g)).toHaveLength(1);
});

test('runWithSignals() passes a second one on that comes later', async () => {
  const child = start(LISTENER);
  const { outcome } = await ready(child);
  child.kill('SIGINT');
  await sleep(600);
  child.kill('SIGINT');
  expect(await outcome).toEqual([9, 'told\ntold\n']);
});

test('runWithSignals() notifies the child when its parent is killed', async () => {
  const child = start(QUITTER);
  const { outcome } = await ready(child);
  await sleep(300); // it has then set its guard
  child.kill('SIGKILL');
  const [, said] = await outcome;
  expect(said).toBe('told\n');
});

test('runWithSignals() tells the child once to end when nobody reads its output, and lets it finish', async () => {
  const file = join(mkdtempSync(join(tmpdir(), 'flannel-children-')), 'told');
  const child = start(
    `trap 'echo told >> ${file}' INT TERM; trap 'echo pipe >> ${file}' PIPE; i=0; while [ $((i+=1)) -lt 20 ]; do echo line; sleep 0.05; done; exit 4`,
  );
  const code = new Promise((resolve) => child.once('close', resolve));
  await new Promise<void>((resolve) => child.stdout!.once('data', () => resolve()));
  child.stdout!.destroy();
  expect(await code).toBe(4);
  expect(readFileSync(file, 'utf8')).toBe('told\n');
  rmSync(dirname(file), { recursive: true });
});

test('a command whose output nobody reads ends without a word', async () => {
  const child = spawn(process.execPath, [join(ROOT, 'tools/run.mjs'), '--help'], { stdio: ['ignore', 'pipe', 'pipe'] });
  child.stdout.destroy();
  let said = '';
  child.stderr.on('data', (chunk) => {
    said += chunk;
  });
  expect(await new Promise((resolve) => child.once('close', resolve))).toBe(0);
  expect(said).toBe('');
});

test('runInteractive() gives the exit code, of a signal as a shell does', async () => {
  expect(await runInteractive('sh', ['-c', 'exit 7'])).toBe(7);
  expect(await runInteractive('sh', ['-c', 'kill -KILL $$'])).toBe(137);
});

test('a program that does not exist is one sentence', async () => {
  await expect(runInteractive('fltest-no-such-program', [])).rejects.toThrow(
    'Cannot run fltest-no-such-program: spawn fltest-no-such-program ENOENT',
  );
  await expect(runWithSignals('fltest-no-such-program', [], {})).rejects.toThrow('Cannot run fltest-no-such-program');
});
