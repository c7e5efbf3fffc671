import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { type RunOptions, type RunOutcome, runProgram } from './run-program.ts';

const ROOT = resolve(__dirname, '../../..');

/** The same calls in this process and in one of Bun, which takes another way. */
const RUNTIMES: [string, (file: string, args: string[], options: RunOptions) => RunOutcome][] = [
  ['Node', runProgram],
  [
    'Bun',
    (file, args, options) => {
      const directory = mkdtempSync(join(tmpdir(), 'fltest-run-'));
      try {
        const script = join(directory, 'run.ts');
        writeFileSync(
          script,
          `import { runProgram } from '${ROOT}/packages/linux/src/run-program.ts';
           try { console.log(JSON.stringify(runProgram(...${JSON.stringify([file, args, options])}))); }
           catch (error) { console.log(JSON.stringify({ code: error.code })); }`,
        );
        const { stdout } = spawnSync(join(ROOT, 'node_modules/.bin/bun'), [script], { encoding: 'utf8' });
        const outcome = JSON.parse(stdout);
        if (outcome.code !== undefined) throw Object.assign(new Error('failed'), outcome);
        return outcome;
      } finally {
        rmSync(directory, { recursive: true });
      }
    },
  ],
];

describe.each(RUNTIMES)('runProgram() on %s', (_name, run) => {
  const options = { env: { PATH: '/usr/bin:/bin' }, timeoutMs: 10_000 };

  test('passes input, environment and arguments, and returns both outputs', () => {
    const script = 'cat; echo "$1 $X" >&2; exit 3';
    const outcome = run('/bin/sh', ['-c', script, 'sh', 'arg'], { ...options, env: { X: 'y' }, input: 'höst' });
    expect(outcome).toEqual({ status: 3, signal: null, timedOut: false, stdout: 'höst', stderr: 'arg y\n' });
  });

  test('finds the program on the PATH it is given', () => {
    expect(run('true', [], options).status).toBe(0);
  });

  test('is content when the program does not read its input', () => {
    expect(run('true', [], { ...options, input: 'x'.repeat(1 << 20) }).status).toBe(0);
  });

  test('names the signal that ended it', () => {
    expect(run('/bin/sh', ['-c', 'kill -SEGV $$'], options)).toMatchObject({ status: null, signal: 'SIGSEGV' });
  });

  test('ends it after its time', () => {
    expect(run('sleep', ['60'], { ...options, timeoutMs: 50 })).toMatchObject({ status: null, timedOut: true });
  });

  test('ends what the program has started, too', () => {
    const directory = mkdtempSync(join(tmpdir(), 'fltest-run-'));
    const script = `sh -c 'while :; do echo x >> ${directory}/alive; sleep 0.02; done' & sleep 60`;
    expect(run('/bin/sh', ['-c', script], { ...options, timeoutMs: 200 }).timedOut).toBe(true);
    const size = (): number => statSync(join(directory, 'alive')).size;
    const before = size();
    spawnSync('sleep', ['0.2']);
    expect(size()).toBe(before);
    rmSync(directory, { recursive: true });
  });

  test('throws when it cannot be started', () => {
    expect(() => run('/nonexistent/program', [], options)).toThrow(expect.objectContaining({ code: 'ENOENT' }));
    expect(() => run('/etc/passwd', [], options)).toThrow(expect.objectContaining({ code: 'EACCES' }));
  });
});
