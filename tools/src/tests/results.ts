/** What Jest's JSON says of a run, counted and in words. */
import { relative } from 'node:path';
import { formatElapsed } from '../../setup/progress.mjs';
import { KINDS } from '../../suites.mjs';
import { formatTable } from '../report/table.ts';
import { type Kind, kindOfFile } from './plan.ts';

export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

export const NONE: Counts = { passed: 0, failed: 0, skipped: 0 };

/** The part of `jest --json` that is used here. */
export interface JestResults {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly numTodoTests: number;
  /** Files that failed before their first test. */
  readonly numRuntimeErrorTestSuites: number;
  readonly testResults: readonly JestFile[];
}

export interface JestFile {
  /** Absolute path. */
  readonly name: string;
  readonly status: string;
  /** All that Jest prints of its failures. */
  readonly message: string;
  /** Milliseconds since 1970. */
  readonly startTime: number;
  readonly endTime: number;
  readonly assertionResults: readonly {
    readonly fullName: string;
    readonly status: string;
    readonly failureMessages: readonly string[] | null;
  }[];
}

/** Without results Jest itself has failed; and an exit code that no count explains is a failure as well. */
export function countJest(results: JestResults | undefined, exitCode: number): Counts {
  if (results === undefined) return { ...NONE, failed: 1 };
  const failed = results.numFailedTests + results.numRuntimeErrorTestSuites;
  return {
    passed: results.numPassedTests,
    failed: failed === 0 && exitCode !== 0 ? 1 : failed,
    skipped: results.numPendingTests + results.numTodoTests,
  };
}

export function total(counts: readonly Counts[]): Counts {
  return counts.reduce(
    (sum, { passed, failed, skipped }) => ({
      passed: sum.passed + passed,
      failed: sum.failed + failed,
      skipped: sum.skipped + skipped,
    }),
    NONE,
  );
}

/**
 * How long each kind took, and the slowest files. Files of several kinds run at the same time, so the times of the kinds sum up
 * to more than the whole took.
 */
export function formatDurations(files: readonly JestFile[], root: string, slowest = 10): string {
  const timed = files.map((file) => ({ path: relative(root, file.name), ms: file.endTime - file.startTime, file }));
  const rows = KINDS.flatMap((kind: Kind) => {
    const own = timed.filter(({ path }) => kindOfFile(path) === kind);
    if (own.length === 0) return [];
    const tests = own.flatMap(({ file }) => file.assertionResults).filter(({ status }) => status !== 'pending');
    const begin = Math.min(...own.map(({ file }) => file.startTime));
    const end = Math.max(...own.map(({ file }) => file.endTime));
    const sum = own.reduce((ms, each) => ms + each.ms, 0);
    return [[kind, `${own.length}`, `${tests.length}`, formatElapsed(sum), formatElapsed(end - begin)]];
  });
  const slow = timed.sort((a, b) => b.ms - a.ms).slice(0, slowest);
  return [
    formatTable([['kind', 'files', 'tests', 'sum of its files', 'first start to last end'], ...rows]),
    '',
    formatTable([['slowest files', ''], ...slow.map(({ path, ms }) => [path, formatElapsed(ms)])]),
  ].join('\n');
}

/** A line for each failed test, and for each file that did not even start; empty when there is none. */
export function listFailures(files: readonly JestFile[], root: string): readonly string[] {
  return files.flatMap((file) => {
    const path = relative(root, file.name);
    const failed = file.assertionResults.filter(({ status }) => status === 'failed');
    if (failed.length === 0) return file.status === 'failed' ? [`${path}: ${firstLine(file.message)}`] : [];
    return failed.map(({ fullName, failureMessages }) => {
      return `${path}: ${fullName}: ${firstLine(failureMessages?.[0] ?? '')}`;
    });
  });
}

/** Without the colours that Jest puts into messages. */
function firstLine(message: string): string {
  const plain = message.replaceAll(new RegExp(`${String.fromCharCode(27)}\\[[0-9;]*m`, 'g'), '');
  const lines = plain.split('\n').map((line) => line.trim());
  return lines.find((line) => line !== '' && !line.startsWith('●')) ?? 'no reason given';
}
