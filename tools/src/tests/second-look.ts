/**
 * What failed while other files ran at the same time is run once more, alone, and that counts. The files share the machine because
 * the runner lets them, so a test that needs the machine for itself is no fault of what it tests; but it is one of the test, and
 * is named as such. More failures than a few are no accident, and a file that ran by itself has had its look.
 */
import {
  type Counts,
  countJest,
  countPassedFiles,
  type Failure,
  failuresOf,
  type JestFile,
  type JestRun,
  total,
} from './results.ts';

const MOST_FILES = 3;

export interface Outcome {
  readonly counts: Counts;
  /** Of the first run, with all that it took. */
  readonly files: readonly JestFile[];
  readonly failures: readonly Failure[];
  /** What failed beside others and passed alone. */
  readonly disturbed: readonly Failure[];
}

/** Absolute paths. */
export function toLookAtAgain({ results }: JestRun): readonly string[] {
  const files = results?.testResults ?? [];
  const failed = files.filter(({ status }) => status === 'failed');
  return files.length > 1 && failed.length <= MOST_FILES ? failed.map(({ name }) => name) : [];
}

/** With a second run, which is of all files that failed in the first one, those count as they ended there. */
export function outcomeOf(first: JestRun, second?: JestRun): Outcome {
  const files = first.results?.testResults ?? [];
  const failures = files.flatMap(failuresOf);
  if (second === undefined) {
    return { counts: countJest(first.results, first.code), files, failures, disturbed: [] };
  }
  const counts = total([countPassedFiles(files), countJest(second.results, second.code)]);
  const filesAgain = second.results?.testResults ?? [];
  const passedAgain = ({ file, test }: Failure) => {
    const again = filesAgain.find(({ name }) => name === file);
    if (test === undefined) return again?.status === 'passed';
    const results = again?.assertionResults.filter(({ fullName }) => fullName === test) ?? [];
    return results.length > 0 && results.every(({ status }) => status === 'passed');
  };
  // What Jest could not run again is a failure, too, of which only the first run tells.
  const lost = second.results === undefined ? failures : [];
  return {
    counts,
    files,
    failures: [...filesAgain.flatMap(failuresOf), ...lost],
    disturbed: failures.filter(passedAgain),
  };
}
