import {
  countJest,
  countPassedFiles,
  failuresOf,
  formatDisturbed,
  formatDurations,
  formatFailure,
  type JestFile,
  NONE,
  total,
} from './results.ts';

const file = (name: string, startTime: number, endTime: number, failures: Record<string, string> = {}): JestFile => ({
  name: `/src/${name}`,
  status: Object.keys(failures).length > 0 ? 'failed' : 'passed',
  message: '',
  startTime,
  endTime,
  assertionResults: [
    { fullName: 'works', status: 'passed', failureMessages: [] },
    ...Object.entries(failures).map(([fullName, text]) => ({ fullName, status: 'failed', failureMessages: [text] })),
  ],
});
const RESULTS = {
  numPassedTests: 5,
  numFailedTests: 1,
  numPendingTests: 1,
  numTodoTests: 1,
  numRuntimeErrorTestSuites: 2,
  testResults: [],
};

test('countJest() counts a file that did not even start as a failure', () => {
  expect(countJest(RESULTS, 1)).toEqual({ passed: 5, failed: 3, skipped: 2 });
});

test('countJest() does not treat an unexplained exit code as success', () => {
  expect(countJest(undefined, 1)).toEqual({ passed: 0, failed: 1, skipped: 0 });
  const fine = { ...RESULTS, numFailedTests: 0, numRuntimeErrorTestSuites: 0 };
  expect(countJest(fine, 0).failed).toBe(0);
  expect(countJest(fine, 1).failed).toBe(1);
});

test('countPassedFiles() leaves the tests of a failed file to another count', () => {
  const skipped = { fullName: 'not here', status: 'pending', failureMessages: [] };
  const some = file('a.test.ts', 0, 1);
  const files = [
    { ...some, assertionResults: [...some.assertionResults, skipped] },
    file('b.test.ts', 0, 1, { x: '' }),
  ];
  expect(countPassedFiles(files)).toEqual({ passed: 1, failed: 0, skipped: 1 });
});

test('total() sums', () => {
  const one = { passed: 1, failed: 2, skipped: 3 };
  expect(total([one, NONE, one])).toEqual({ passed: 2, failed: 4, skipped: 6 });
});

test('formatDurations() has a row for each kind, by time of its files and from first to last, and the slowest files', () => {
  const files = [
    file('tests/e2e/a.test.ts', 0, 60_000),
    file('tests/e2e/b.test.ts', 30_000, 90_000),
    file('packages/c.test.ts', 5000, 6500),
  ];
  expect(formatDurations(files, '/src', 2).split('\n')).toEqual([
    '  kind  files  tests  sum of its files  first start to last end',
    '  unit  1      1      1.5 s             1.5 s',
    '  e2e   2      2      2 min 00 s        1 min 30 s',
    '',
    '  slowest files',
    '  tests/e2e/a.test.ts  1 min 00 s',
    '  tests/e2e/b.test.ts  1 min 00 s',
  ]);
});

test('formatFailure() names each failed test with the first line of its reason, and a file that did not start', () => {
  const red = `${String.fromCharCode(27)}[31m`;
  const broken = { ...file('tests/aws/b.test.ts', 0, 1), status: 'failed', assertionResults: [] };
  const files = [
    file('a.test.ts', 0, 1, { 'a thing fails': `\n${red}expected 1, got 2\n    at a.ts:1` }),
    { ...broken, message: '  ● Test suite failed to run\n\n    Cannot find module "x"\n' },
    file('c.test.ts', 0, 1),
  ];
  const failures = files.flatMap(failuresOf);
  expect(failures.map((failure) => formatFailure(failure, '/src'))).toEqual([
    'a.test.ts: a thing fails: expected 1, got 2',
    'tests/aws/b.test.ts: Cannot find module "x"',
  ]);
  expect(formatDisturbed(failures[0]!, '/src')).toBe(
    'a.test.ts: a thing fails\n    expected 1, got 2\n        at a.ts:1',
  );
  expect(formatDisturbed(failures[0]!, '/src', 1)).toBe('a.test.ts: a thing fails\n    expected 1, got 2');
});
