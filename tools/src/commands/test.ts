import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { build } from '../../build/build.ts';
import { UsageError } from '../../setup/errors.mjs';
import { say } from '../../setup/progress.mjs';
import { testsNeedMachine } from '../../suites.mjs';
import { runInteractive } from '../children.ts';
import type { Context, Options } from '../context.ts';
import { runPhase } from '../tests/phase.ts';
import { planTests } from '../tests/plan.ts';
import { type Counts, formatDisturbed, formatDurations, formatFailure, NONE, total } from '../tests/results.ts';
import type { Outcome } from '../tests/second-look.ts';

/** Runs everything, whatever fails before, and ends with the one line that says how it went. */
export async function test(context: Context, options: Options): Promise<number> {
  const { root, env } = context;
  const flannel = env.FLANNEL_UPSTREAM ?? '';
  const surroundings = {
    exists: (path: string) => existsSync(join(root, path)),
    hasFlannel: flannel !== '',
    root,
    processors: availableParallelism(),
  };
  const plan = planTests(options.words, surroundings);
  const kinds = plan.phases.flatMap((phase) => phase.kinds);
  if (kinds.includes('interop') && options.words.includes('interop')) assertFlannel(flannel);
  if (testsNeedMachine(options.words)) await build(root, env);
  const outcomes: Outcome[] = [];
  if (plan.checks) outcomes.push({ counts: await runChecks(context), files: [], failures: [], disturbed: [] });
  const jest = (args: readonly string[]) =>
    interruptible(process.execPath, [join(root, 'node_modules/jest/bin/jest.js'), ...args], { cwd: root, env });
  for (const phase of plan.phases) {
    say(`\nTests: ${phase.kinds.join(', ')}`);
    outcomes.push(await runPhase(phase, options.testName, jest, say));
  }
  const sum = total(outcomes.map(({ counts }) => counts));
  if (sum.passed + sum.failed === 0) throw new UsageError(`No test matches ${options.words.join(' ')}`);
  report(outcomes, root);
  if (options.words.length === 0 && flannel === '') say(`Not run: tests/interop. ${NEEDS_FLANNEL}`);
  if (sum.skipped > 0) say(`${sum.skipped} tests were skipped`);
  process.stdout.write(`${sum.passed} passed, ${sum.failed} failed\n`);
  return sum.failed === 0 ? 0 : 1;
}

/** The failures once more, below everything else that was printed. */
function report(outcomes: readonly Outcome[], root: string): void {
  const files = outcomes.flatMap((outcome) => outcome.files);
  if (files.length > 0) say(`\n${formatDurations(files, root)}\n`);
  const disturbed = outcomes.flatMap((outcome) => outcome.disturbed);
  if (disturbed.length > 0) {
    const each = disturbed.map((failure) => formatDisturbed(failure, root));
    say(`FAILED BESIDE OTHERS, PASSED ALONE (${disturbed.length}), which is to be mended:\n${each.join('\n')}\n`);
  }
  const failures = outcomes.flatMap((outcome) => outcome.failures);
  if (failures.length > 0) say(`Failed:\n${failures.map((each) => `  ${formatFailure(each, root)}`).join('\n')}\n`);
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
  {
    name: 'types',
    command: [
      'node_modules/.bin/tsc',
      '--noEmit',
      '--incremental',
      '--tsBuildInfoFile',
      'dist/.build/types.tsbuildinfo',
    ],
  },
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

/** Ctrl-C ends the whole, not only what is running. */
async function interruptible(...args: Parameters<typeof runInteractive>): Promise<number> {
  const code = await runInteractive(...args);
  if (code === 130 || code === 143) process.exit(code);
  return code;
}
