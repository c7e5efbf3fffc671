/** What `npm test -- WORD...` may name. Plain JavaScript, so that it is refused before anything is installed. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { ToolError } from './setup/errors.mjs';

/** The projects of Jest: the tests beside their sources, and the folders of tests/. */
export const KINDS = /** @type {const} */ ([
  'unit',
  'integration',
  'kernel',
  'aws',
  'boot',
  'e2e',
  'kubernetes',
  'interop',
]);
export const SUITES = /** @type {const} */ (['checks', ...KINDS]);

const NOT_OURS = new Set(['node_modules', 'dist']);

/**
 * Refuses a word that is no suite and in no test file's path, as Jest would, but before the machine is prepared and built.
 * @param {string} root
 * @param {readonly string[]} words
 */
export function assertTestsExist(root, words) {
  const others = words.filter((word) => !SUITES.some((suite) => suite === word));
  if (others.length === 0) return;
  const files = testFiles(root);
  const unknown = others.find((word) => !files.some((file) => toPattern(word).test(file)));
  if (unknown === undefined) return;
  throw new ToolError(
    'NO_TEST',
    `There is no test "${unknown}": name a suite (${SUITES.join(', ')}) or a part of a test file's path`,
    { exitCode: 2 },
  );
}

/**
 * Jest's meaning of a word; one that is no regular expression is taken as it stands.
 * @param {string} word
 */
function toPattern(word) {
  try {
    return new RegExp(word, 'i');
  } catch {
    return new RegExp(word.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&'), 'i');
  }
}

/**
 * Absolute paths of all test files.
 * @param {string} directory
 * @returns {string[]}
 */
function testFiles(directory) {
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    const path = join(directory, entry.name);
    if (!entry.isDirectory()) return /\.test\.m?[jt]s$/.test(entry.name) ? [path] : [];
    return entry.name.startsWith('.') || NOT_OURS.has(entry.name) ? [] : testFiles(path);
  });
}

/**
 * Whether tests need root, namespaces and a build: not if only checks and tests beside their sources are meant.
 * @param {readonly string[]} words
 */
export function testsNeedMachine(words) {
  const ordinary = /^(?:checks|unit)$|^(?:\.\/)?(?:packages|daemon|cni|infra|bench|tools)\//;
  return words.length === 0 || !words.every((word) => ordinary.test(word));
}

/**
 * Whether tests that ask the emulation of AWS are among them: not if only others are meant.
 * @param {readonly string[]} words
 */
export function testsNeedAws(words) {
  const other = /^(?:\.\/)?tests\/(?!aws(?:\/|$))[^/]+/;
  const isOther = (/** @type {string} */ word) =>
    other.test(word) || (word !== 'aws' && SUITES.some((suite) => suite === word));
  return testsNeedMachine(words) && (words.length === 0 || !words.every(isOther));
}

/**
 * Whether tests that run a Kubernetes of their own are among them.
 * @param {readonly string[]} words
 */
export function testsNeedKubernetes(words) {
  return words.length === 0 || words.some((word) => word === 'integration' || word === 'interop' || /kube/i.test(word));
}
