/** Which tests are meant, and how many of them passed. */
export const KINDS = ['unit', 'integration', 'aws', 'boot', 'e2e', 'interop'] as const;
export type Kind = (typeof KINDS)[number];

export interface TestRun {
  readonly kind: Kind;
  /** Jest's: regular expressions over paths; none means all. */
  readonly patterns: readonly string[];
  readonly workers: readonly string[];
}

export interface TestPlan {
  readonly checks: boolean;
  readonly runs: readonly TestRun[];
}

export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

export const NONE: Counts = { passed: 0, failed: 0, skipped: 0 };

/** Unit tests share nothing. The others have the whole machine in common: its two cores, its namespaces. */
const WORKERS: Readonly<Record<Kind, readonly string[]>> = {
  unit: ['--maxWorkers=2'],
  integration: ['--maxWorkers=2'],
  aws: ['--maxWorkers=2'],
  boot: ['--runInBand'],
  e2e: ['--runInBand'],
  interop: ['--runInBand'],
};

/**
 * Nothing named means everything; kinds and paths can be mixed. Without flannel itself, what needs it is meant only where it is
 * asked for by name.
 */
export function planTests(words: readonly string[], exists: (path: string) => boolean, hasFlannel: boolean): TestPlan {
  const everything = words.length === 0;
  const patterns = new Map<Kind, string[]>();
  for (const word of words.filter((each) => each !== 'checks' && !isKind(each))) {
    for (const kind of kindsOf(word, exists)) patterns.set(kind, [...(patterns.get(kind) ?? []), word]);
  }
  const runs = KINDS.flatMap((kind) => {
    const whole = (everything && (kind !== 'interop' || hasFlannel)) || words.includes(kind);
    const some = patterns.get(kind);
    return whole || some ? [{ kind, patterns: whole ? [] : some!, workers: WORKERS[kind] }] : [];
  });
  return { checks: everything || words.includes('checks'), runs };
}

function isKind(word: string): word is Kind {
  return (KINDS as readonly string[]).includes(word);
}

/** A path says by itself what kind it is of; part of a name may be of any. */
function kindsOf(word: string, exists: (path: string) => boolean): readonly Kind[] {
  const [, kind = ''] = /^(?:\.\/)?tests\/([^/]+)/.exec(word) ?? [];
  if (isKind(kind)) return [kind];
  return exists(word) && !/^(?:\.\/)?tests\/?$/.test(word) ? ['unit'] : KINDS;
}

interface JestResults {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly numTodoTests: number;
  /** Files that failed before their first test. */
  readonly numRuntimeErrorTestSuites: number;
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
