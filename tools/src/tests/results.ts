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

export interface JestRun {
  /** Missing where Jest wrote none. */
  readonly results: JestResults | undefined;
  readonly code: number;
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

/** Of the files that passed as a whole. */
export function countPassedFiles(files: readonly JestFile[]): Counts {
  const tests = files.filter(({ status }) => status !== 'failed').flatMap(({ assertionResults }) => assertionResults);
  const passed = tests.filter(({ status }) => status === 'passed').length;
  return { passed, failed: 0, skipped: tests.length - passed };
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

/** A failed test, or a file that failed in another way: it did not even start, or failed after its tests. */
export interface Failure {
  /** Absolute path. */
  readonly file: string;
  readonly test: string | undefined;
  /** All that Jest says of it, without colours. */
  readonly message: string;
}

export function failuresOf(file: JestFile): readonly Failure[] {
  const failed = file.assertionResults.filter(({ status }) => status === 'failed');
  if (failed.length === 0) {
    return file.status === 'failed' ? [{ file: file.name, test: undefined, message: plain(file.message) }] : [];
  }
  return failed.map(({ fullName, failureMessages }) => {
    return { file: file.name, test: fullName, message: plain(failureMessages?.[0] ?? '') };
  });
}

/** A line, with the first line of the reason. */
export function formatFailure(failure: Failure, root: string): string {
  const lines = failure.message.split('\n').map((line) => line.trim());
  const reason = lines.find((line) => line !== '' && !line.startsWith('●')) ?? 'no reason given';
  return `${nameOf(failure, root)}: ${reason}`;
}

/** With what Jest said of it, as far as it is about the test and not about what has called it. */
export function formatDisturbed(failure: Failure, root: string, lines = 25): string {
  const message = failure.message.trim().split('\n').slice(0, lines);
  return [nameOf(failure, root), ...message.map((line) => `    ${line}`)].join('\n');
}

function nameOf({ file, test }: Failure, root: string): string {
  return [relative(root, file), ...(test === undefined ? [] : [test])].join(': ');
}

/** Without the colours that Jest puts into messages. */
function plain(message: string): string {
  return message.replaceAll(new RegExp(`${String.fromCharCode(27)}\\[[0-9;]*m`, 'g'), '');
}
