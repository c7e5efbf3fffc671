import { spawnSync } from 'node:child_process';
import { symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { removeScratch, scratch, write } from '../../testing/setup.ts';
import { runPhase } from './phase.ts';
import type { Phase } from './plan.ts';
import type { JestFile, JestResults, JestRun } from './results.ts';
import { outcomeOf, toLookAtAgain } from './second-look.ts';

/** By the tests of each file: "+" passed, "-" failed. A file without tests could not be loaded. */
function run(files: Record<string, string>): JestRun {
  const testResults = Object.entries(files).map(([name, tests]): JestFile => {
    const assertionResults = [...tests].map((mark, index) => {
      const passed = mark === '+';
      return {
        fullName: `test ${index}`,
        status: passed ? 'passed' : 'failed',
        failureMessages: passed ? [] : [`reason ${index}`],
      };
    });
    const status = tests === '' || tests.includes('-') ? 'failed' : 'passed';
    return { name: `/src/${name}`, status, message: 'no module', startTime: 0, endTime: 1, assertionResults };
  });
  const count = (status: string) =>
    testResults.flatMap(({ assertionResults }) => assertionResults).filter((test) => test.status === status).length;
  const results: JestResults = {
    numPassedTests: count('passed'),
    numFailedTests: count('failed'),
    numPendingTests: 0,
    numTodoTests: 0,
    numRuntimeErrorTestSuites: Object.values(files).filter((tests) => tests === '').length,
    testResults,
  };
  return { results, code: testResults.some(({ status }) => status === 'failed') ? 1 : 0 };
}

const POOL: Phase = { kinds: ['integration', 'e2e'], patterns: ['x'], workers: 3, secondLook: true };

/** Jest that gives these results, one after the other. */
async function phase(runs: readonly JestRun[], what: Partial<Phase> = {}) {
  const calls: (readonly string[])[] = [];
  const execute = async (args: readonly string[]) => {
    const { results, code } = runs[calls.length]!;
    calls.push(args.filter((arg) => !arg.startsWith('--outputFile')));
    const file = args.find((arg) => arg.startsWith('--outputFile='))!.slice('--outputFile='.length);
    if (results !== undefined) writeFileSync(file, JSON.stringify(results));
    return code;
  };
  return { calls, outcome: await runPhase({ ...POOL, ...what }, 'name', execute, () => {}) };
}

test('what failed beside others and passes alone counts as passed, once, and is named with its first reason', async () => {
  const first = run({ a: '+-+', b: '++', c: '' });
  const { calls, outcome } = await phase([first, run({ a: '+++', c: '+' })]);
  expect(calls).toEqual([
    [
      'x',
      '--selectProjects',
      'integration',
      'e2e',
      '--passWithNoTests',
      '--testNamePattern=name',
      '--maxWorkers=3',
      '--json',
    ],
    [
      '--runTestsByPath',
      '/src/a',
      '/src/c',
      '--selectProjects',
      'integration',
      'e2e',
      '--testNamePattern=name',
      '--maxWorkers=1',
      '--json',
    ],
  ]);
  expect(outcome.counts).toEqual({ passed: 6, failed: 0, skipped: 0 });
  expect(outcome.failures).toEqual([]);
  expect(outcome.disturbed).toEqual([
    { file: '/src/a', test: 'test 1', message: 'reason 1' },
    { file: '/src/c', test: undefined, message: 'no module' },
  ]);
  expect(outcome.files).toEqual(first.results!.testResults);
});

test('what fails alone, too, is a failure, and so is what fails only then', async () => {
  const { outcome } = await phase([run({ a: '--+', b: '++' }), run({ a: '-+-' })]);
  expect(outcome.counts).toEqual({ passed: 3, failed: 2, skipped: 0 });
  expect(outcome.failures.map(({ test: name }) => name)).toEqual(['test 0', 'test 2']);
  expect(outcome.disturbed.map(({ test: name }) => name)).toEqual(['test 1']);
});

test('a second run without results is a failure, and what failed in the first one is named', async () => {
  const { outcome } = await phase([run({ a: '-+', b: '++' }), { results: undefined, code: 1 }]);
  expect(outcome.counts).toEqual({ passed: 2, failed: 1, skipped: 0 });
  expect(outcome.failures.map(({ test: name }) => name)).toEqual(['test 0']);
  expect(outcome.disturbed).toEqual([]);
});

test.each([
  ['more than three files', run({ a: '-', b: '-', c: '-', d: '-', e: '+' }), {}],
  ['unit tests', run({ a: '-', b: '+' }), { secondLook: false }],
  ['the only file, which has run alone', run({ a: '-' }), {}],
  ['nothing', run({ a: '+', b: '+' }), {}],
] as const)('%s: no second look', async (_, first, what) => {
  const { calls, outcome } = await phase([first], what);
  expect(calls).toHaveLength(1);
  expect(outcome).toEqual(outcomeOf(first));
  expect(outcome.disturbed).toEqual([]);
  expect(outcome.counts.failed).toBe(first.results!.numFailedTests);
});

test('three files are looked at again, and Jest that failed without a result is not', () => {
  expect(toLookAtAgain(run({ a: '-', b: '-', c: '-', d: '+' }))).toEqual(['/src/a', '/src/b', '/src/c']);
  expect(toLookAtAgain({ results: undefined, code: 1 })).toEqual([]);
});

describe('with Jest itself', () => {
  afterAll(removeScratch);

  test('a test that fails in the first run only passes, and one that fails in both fails', async () => {
    const root = scratch();
    symlinkSync(join(__dirname, '..', '..', '..', 'node_modules'), join(root, 'node_modules'));
    const project = (kind: string) => ({ displayName: kind, testMatch: [`<rootDir>/tests/${kind}/*.test.js`] });
    const config = { projects: ['integration', 'e2e'].map(project) };
    write(join(root, 'jest.config.json'), JSON.stringify(config));
    const once = `const fs = require('node:fs');
      const seen = fs.existsSync(__filename + '.seen');
      fs.writeFileSync(__filename + '.seen', '');
      test('once', () => expect(seen).toBe(true));
      test('well', () => {});`;
    write(join(root, 'tests/integration/once.test.js'), once);
    write(join(root, 'tests/integration/well.test.js'), `test('well', () => {});`);
    write(join(root, 'tests/e2e/twice.test.js'), `test('twice', () => { throw new Error('as ever'); });`);
    const execute = async (args: readonly string[]) =>
      spawnSync(process.execPath, [join(root, 'node_modules/jest/bin/jest.js'), ...args], { cwd: root }).status ?? 1;
    const outcome = await runPhase({ ...POOL, patterns: [] }, undefined, execute, () => {});
    expect(outcome.counts).toEqual({ passed: 3, failed: 1, skipped: 0 });
    const named = (failures: typeof outcome.failures) =>
      failures.map(({ file, test: name }) => [file.slice(root.length), name]);
    expect(named(outcome.disturbed)).toEqual([['/tests/integration/once.test.js', 'once']]);
    expect(named(outcome.failures)).toEqual([['/tests/e2e/twice.test.js', 'twice']]);
  }, 120_000);
});
