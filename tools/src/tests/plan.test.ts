import { countJest, KINDS, NONE, planTests, total } from './plan.ts';

const exists = (path: string) => ['packages/inet', 'tests/e2e/local.test.ts', 'tests', 'tests/'].includes(path);

test('planTests() without words means all, checks first', () => {
  const { checks, runs } = planTests([], exists, true);
  expect(checks).toBe(true);
  expect(runs.map(({ kind, patterns }) => [kind, patterns])).toEqual(KINDS.map((kind) => [kind, []]));
});

test.each([
  [['unit'], [['unit', []]]],
  [
    ['e2e', 'unit'],
    [
      ['unit', []],
      ['e2e', []],
    ],
  ],
  [['packages/inet'], [['unit', ['packages/inet']]]],
  [['tests/e2e/local.test.ts'], [['e2e', ['tests/e2e/local.test.ts']]]],
  [['unit', 'packages/inet'], [['unit', []]]],
  [['reach'], KINDS.map((kind) => [kind, ['reach']])],
  [['tests'], KINDS.map((kind) => [kind, ['tests']])],
])('planTests() of %j', (words, expected) => {
  const { checks, runs } = planTests(words, exists, true);
  expect(checks).toBe(false);
  expect(runs.map(({ kind, patterns }) => [kind, patterns])).toEqual(expected);
});

test('planTests() leaves out what needs flannel itself where that is not there, unless it is asked for', () => {
  const kinds = (words: string[]) => planTests(words, exists, false).runs.map(({ kind }) => kind);
  expect(kinds([])).toEqual(KINDS.filter((kind) => kind !== 'interop'));
  expect(kinds(['interop'])).toEqual(['interop']);
});

test('planTests() can mean the checks alone', () => {
  expect(planTests(['checks'], exists, true)).toEqual({ checks: true, runs: [] });
});

const RESULTS = {
  numPassedTests: 5,
  numFailedTests: 1,
  numPendingTests: 1,
  numTodoTests: 1,
  numRuntimeErrorTestSuites: 2,
};

test('countJest() counts a file that did not even start as a failure', () => {
  expect(countJest(RESULTS, 1)).toEqual({ passed: 5, failed: 3, skipped: 2 });
});

test('countJest() takes no exit code for success that nothing explains', () => {
  expect(countJest(undefined, 1)).toEqual({ passed: 0, failed: 1, skipped: 0 });
  const fine = { ...RESULTS, numFailedTests: 0, numRuntimeErrorTestSuites: 0 };
  expect(countJest(fine, 0).failed).toBe(0);
  expect(countJest(fine, 1).failed).toBe(1);
});

test('total() sums', () => {
  const one = { passed: 1, failed: 2, skipped: 3 };
  expect(total([one, NONE, one])).toEqual({ passed: 2, failed: 4, skipped: 6 });
});
