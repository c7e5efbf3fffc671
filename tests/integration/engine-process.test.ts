import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createNetns, deleteNetns } from '@flannel-ts/linux/netns';

const ROOT = join(__dirname, '../..');
const NETNS = `/run/netns/fltest-${process.pid}-process`;
// Below the repository, where the bundle finds koffi.
const DIRECTORY = join(ROOT, `node_modules/.cache/fltest-${process.pid}`);

// A worker blocked in a system call holds its process forever; here each must be gone long before this.
const HANGS_MS = 20_000;

const BUILD = `
  import { build } from 'esbuild';
  import { workerDefine } from '${ROOT}/daemon/build/workers.mjs';
  import { writeFileSync } from 'node:fs';
  const define = await workerDefine();
  await build({ entryPoints: ['${ROOT}/daemon/testing/engine/program.ts'], outfile: '${DIRECTORY}/program.cjs', bundle: true,
    platform: 'node', format: 'cjs', define, external: ['koffi', 'esbuild'] });
`;

beforeAll(() => {
  mkdirSync(DIRECTORY, { recursive: true });
  execFileSync(process.execPath, ['--input-type=module', '-e', BUILD], { cwd: ROOT });
  execFileSync(join(ROOT, 'node_modules/.bin/bun'), [
    ...['build', '--compile', `${DIRECTORY}/program.cjs`],
    ...['--outfile', `${DIRECTORY}/program`],
  ]);
  createNetns(NETNS);
  execFileSync('nsenter', [`--net=${NETNS}`, 'ip', 'link', 'set', 'lo', 'up']);
}, 60_000);

afterAll(() => {
  deleteNetns(NETNS);
  rmSync(DIRECTORY, { recursive: true, force: true });
});

const PROGRAMS = {
  'a Node bundle': [process.execPath, `${DIRECTORY}/program.cjs`],
  'a binary compiled by Bun': [`${DIRECTORY}/program`],
};
const CASES = Object.entries(PROGRAMS).flatMap(([program, command]) =>
  ['reference', 'fast'].map((engine) => [engine, program, command] as const),
);

describe.each(CASES)('the %s engine in %s', (engine, _, command) => {
  test.each([
    ['ends when the engine stops', 'stop', 0],
    ['ends by process.exit()', 'exit', 3],
    ['ends by an uncaught exception', 'throw', 1],
    ['ends by an unhandled rejection', 'reject', 1],
  ])('%s', async (_name, way, code) => {
    expect(await outcome(start(command, way, engine))).toEqual({ code, signal: null });
  });

  test('ends by SIGTERM', async () => {
    const program = start(command, 'wait', engine);
    await once(program.stdout!, 'data');
    program.kill('SIGTERM');
    expect(await outcome(program)).toEqual({ code: null, signal: 'SIGTERM' });
  });
});

function start(command: readonly string[], way: string, engine: string): ChildProcess {
  // From another directory, as a service: the worker must find its packages all the same.
  return spawn('nsenter', [`--net=${NETNS}`, ...command, way, engine], { cwd: '/', stdio: ['ignore', 'pipe', 'pipe'] });
}

async function outcome(program: ChildProcess) {
  let output = '';
  program.stdout!.on('data', (data) => {
    output += data;
  });
  program.stderr!.on('data', (data) => {
    output += data;
  });
  const hung = setTimeout(() => program.kill('SIGKILL'), HANGS_MS);
  const [code, signal] = (await once(program, 'exit')) as [number | null, NodeJS.Signals | null];
  clearTimeout(hung);
  if (signal !== 'SIGTERM') expect(output).toContain('running');
  // Of an abort of the runtime.
  const fatal = /FATAL ERROR.*/.exec(output)?.[0];
  return { code, signal, ...(fatal && { fatal }) };
}
