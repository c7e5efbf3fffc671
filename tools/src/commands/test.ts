import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from '../../build/build.mjs';
import { UsageError } from '../../setup/errors.mjs';
import { say } from '../../setup/progress.mjs';
import { testsNeedMachine } from '../../usage.mjs';
import { runInteractive } from '../children.ts';
import type { Context, Options } from '../context.ts';
import { type Counts, countJest, NONE, planTests, type TestRun, total } from '../tests/plan.ts';

/** Runs everything, whatever fails before, and ends with the one line that says how it went. */
export async function test(context: Context, options: Options): Promise<number> {
  const { root, env } = context;
  const flannel = env.FLANNEL_UPSTREAM ?? '';
  const plan = planTests(options.words, (path) => existsSync(join(root, path)), flannel !== '');
  if (plan.runs.some(({ kind, patterns }) => kind === 'interop' && patterns.length === 0)) assertFlannel(flannel);
  if (testsNeedMachine(options.words)) await build(root, env);
  const counts: Counts[] = [];
  if (plan.checks) counts.push(await runChecks(context));
  for (const run of plan.runs) counts.push(await runJest(context, run, options.testName));
  if (options.words.length === 0 && flannel === '') say(`\nNot run: tests/interop. ${NEEDS_FLANNEL}`);
  const sum = total(counts);
  if (sum.passed + sum.failed === 0) throw new UsageError(`No test is meant by ${options.words.join(' ')}`);
  if (sum.skipped > 0) say(`${sum.skipped} tests were skipped`);
  process.stdout.write(`${sum.passed} passed, ${sum.failed} failed\n`);
  return sum.failed === 0 ? 0 : 1;
}

const NEEDS_FLANNEL = 'They need FLANNEL_UPSTREAM, the path of a build of github.com/flannel-io/flannel';

function assertFlannel(program: string): void {
  if (program === '') throw new UsageError(`The tests of tests/interop cannot run. ${NEEDS_FLANNEL}`);
  if (!existsSync(program)) throw new UsageError(`FLANNEL_UPSTREAM "${program}" does not exist`);
}

const CHECKS: readonly { readonly name: string; readonly command: readonly string[] }[] = [
  {
    name: 'format and lint',
    command: ['node_modules/.bin/biome', 'ci', `--colors=${process.stderr.isTTY ? 'force' : 'off'}`, '.'],
  },
  { name: 'types', command: ['node_modules/.bin/tsc', '--noEmit'] },
];

async function runChecks({ root, env }: Context): Promise<Counts> {
  let counts = NONE;
  for (const { name, command } of CHECKS) {
    say(`\nCheck: ${name}`);
    const [program = '', ...args] = command;
    const code = await interruptible(join(root, program), args, { cwd: root, env });
    counts = total([counts, { ...NONE, [code === 0 ? 'passed' : 'failed']: 1 }]);
  }
  return counts;
}

async function runJest({ root, env }: Context, run: TestRun, testName: string | undefined): Promise<Counts> {
  say(`\nTests: ${run.kind}`);
  const directory = mkdtempSync(join(tmpdir(), 'flannel-ts-test-'));
  try {
    const outputFile = join(directory, 'results.json');
    const args = [
      join(root, 'node_modules/jest/bin/jest.js'),
      ...run.patterns, // before --selectProjects, which would take them for projects
      `--selectProjects=${run.kind}`,
      '--passWithNoTests',
      '--json',
      `--outputFile=${outputFile}`,
      ...run.workers,
      ...(testName === undefined ? [] : [`--testNamePattern=${testName}`]),
    ];
    const code = await interruptible(process.execPath, args, { cwd: root, env });
    const results = existsSync(outputFile) ? JSON.parse(readFileSync(outputFile, 'utf8')) : undefined;
    return countJest(results, code);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Ctrl-C ends the whole, not only what is running. */
async function interruptible(...args: Parameters<typeof runInteractive>): Promise<number> {
  const code = await runInteractive(...args);
  if (code === 130 || code === 143) process.exit(code);
  return code;
}
