import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { assertTestsExist, SUITES, testsNeedAws, testsNeedKubernetes, testsNeedMachine } from './suites.mjs';

describe('assertTestsExist()', () => {
  let root: string;
  beforeAll(() => {
    root = mkdtempSync(join(tmpdir(), 'flannel-suites-'));
    for (const file of ['packages/inet/src/prefix.test.ts', 'node_modules/x/hidden.test.ts', 'docs/page.md']) {
      mkdirSync(join(root, file, '..'), { recursive: true });
      writeFileSync(join(root, file), '');
    }
  });
  afterAll(() => rmSync(root, { recursive: true }));

  test.each([SUITES, [], ['packages/inet'], ['./packages/inet/src/prefix.test.ts'], ['PREFIX'], ['inet.*prefix']])(
    'accepts %j',
    (...words) => {
      expect(() => assertTestsExist(root, words)).not.toThrow();
    },
  );

  test.each(['bogus', 'hidden', 'docs/page', 'prefix('])('refuses %j with the suites in one sentence', (word) => {
    expect(() => assertTestsExist(root, ['unit', word])).toThrow(
      `There is no test "${word}": name a suite (checks, unit, integration, kernel, aws, boot, e2e, kubernetes, interop) or a part of a test file's path`,
    );
  });
});

test('a test that does not exist is refused before anything is prepared', () => {
  // Without PATH nothing could be installed or built.
  const run = [join(__dirname, 'run.mjs'), 'test', 'bogus'];
  const { status, stdout, stderr } = spawnSync(process.execPath, run, { encoding: 'utf8', env: {} });
  expect([status, stdout]).toEqual([2, '']);
  expect(stderr).toMatch(/^There is no test "bogus": [^\n]*\n$/);
});

test('testsNeedMachine() is false for what stands beside its source, and only for that', () => {
  expect(testsNeedMachine(['unit', 'checks', 'packages/inet', './tools/usage.test.ts'])).toBe(false);
  expect(testsNeedMachine([])).toBe(true);
  expect(testsNeedMachine(['unit', 'tests/e2e'])).toBe(true);
  expect(testsNeedMachine(['reachability'])).toBe(true);
});

test('testsNeedAws() is false where only other tests are meant', () => {
  expect(testsNeedAws(['integration', 'kernel', 'boot', 'tests/e2e/local.test.ts'])).toBe(false);
  expect(testsNeedAws(['unit'])).toBe(false);
  for (const words of [[], ['aws'], ['integration', 'aws'], ['tests/aws/moto.test.ts'], ['replay']]) {
    expect(testsNeedAws(words)).toBe(true);
  }
});

test('testsNeedKubernetes() is true for all, for integration tests, and for files that are about it', () => {
  for (const words of [[], ['integration'], ['kubernetes'], ['tests/integration/subnet-kube']])
    expect(testsNeedKubernetes(words)).toBe(true);
  for (const words of [['unit'], ['aws', 'e2e'], ['tests/integration/cni-add']])
    expect(testsNeedKubernetes(words)).toBe(false);
});
