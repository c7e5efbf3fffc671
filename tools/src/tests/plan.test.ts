import { KINDS } from '../../suites.mjs';
import { kindOfFile, planTests } from './plan.ts';

const exists = (path: string) => ['packages/inet', 'tests/e2e/local.test.ts', 'tests', 'tests/'].includes(path);
const here = { exists, hasFlannel: true, root: '/src/a+b', processors: 2 };
const OTHERS = KINDS.filter((kind) => kind !== 'unit');

test('planTests() without words means all: checks, then unit tests, then all others side by side', () => {
  expect(planTests([], here)).toEqual({
    checks: true,
    phases: [
      { kinds: ['unit'], patterns: [], workers: 2, secondLook: false },
      { kinds: OTHERS, patterns: [], workers: 3, secondLook: true },
    ],
  });
});

test.each([
  [['unit'], [[['unit'], []]]],
  [
    ['e2e', 'unit'],
    [
      [['unit'], []],
      [['e2e'], []],
    ],
  ],
  [['packages/inet'], [[['unit'], ['packages/inet']]]],
  [['tests/e2e/local.test.ts'], [[['e2e'], ['tests/e2e/local.test.ts']]]],
  [['unit', 'packages/inet'], [[['unit'], []]]],
  [
    ['boot', 'tests/e2e/local.test.ts'],
    [
      [
        ['boot', 'e2e'],
        ['^/src/a\\+b/tests/boot/', 'tests/e2e/local.test.ts'],
      ],
    ],
  ],
  [
    ['reach'],
    [
      [['unit'], ['reach']],
      [OTHERS, ['reach']],
    ],
  ],
  [
    ['unit', 'reach'],
    [
      [['unit'], []],
      [OTHERS, ['reach']],
    ],
  ],
])('planTests() of %j', (words, expected) => {
  const { checks, phases } = planTests(words, here);
  expect(checks).toBe(false);
  expect(phases.map(({ kinds, patterns }) => [kinds, patterns])).toEqual(expected);
});

test('planTests() leaves out what needs flannel itself where none is named, unless it is asked for', () => {
  const kinds = (words: string[]) =>
    planTests(words, { ...here, hasFlannel: false }).phases.flatMap((phase) => phase.kinds);
  expect(kinds([])).toEqual(KINDS.filter((kind) => kind !== 'interop'));
  expect(kinds(['interop'])).toEqual(['interop']);
});

test('planTests() can mean the checks alone', () => {
  expect(planTests(['checks'], here)).toEqual({ checks: true, phases: [] });
});

test('kindOfFile() goes by the directory below tests/', () => {
  const files = ['tests/e2e/local.test.ts', 'packages/inet/src/ip.test.ts', 'tests/aws/double/provider.test.ts'];
  expect(files.map(kindOfFile)).toEqual(['e2e', 'unit', 'aws']);
});
