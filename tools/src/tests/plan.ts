/** Which tests are meant, and which of them run side by side. */
import { KINDS } from '../../suites.mjs';

export type Kind = (typeof KINDS)[number];

/** One run of Jest. */
export interface Phase {
  readonly kinds: readonly Kind[];
  /** Jest's: regular expressions over absolute paths; none means all files of the kinds. */
  readonly patterns: readonly string[];
  readonly workers: number;
  /** Whether what fails may have failed because of what runs beside it (second-look.ts). */
  readonly secondLook: boolean;
}

export interface TestPlan {
  readonly checks: boolean;
  readonly phases: readonly Phase[];
}

export interface Surroundings {
  /** Whether a path relative to the checkout exists. */
  readonly exists: (path: string) => boolean;
  /** Whether a build of flannel itself is named, which tests/interop needs. */
  readonly hasFlannel: boolean;
  /** Of the checkout, absolute. */
  readonly root: string;
  readonly processors: number;
}

/**
 * Nothing named means everything; kinds and paths can be mixed. Without flannel itself, what needs it is meant only where it
 * is asked for by name.
 *
 * Unit tests come first and by themselves: they keep every processor busy for less than two minutes, some of them measure
 * memory or compare times, and they are the first to fail. All other tests wait for processes, timers and the kernel for much
 * of their time, so files of all those kinds share one pool with one worker more than there are processors. Jest starts the
 * longest files first. They do not disturb each other: each has namespaces, directories, ports and stacks of its own.
 */
export function planTests(words: readonly string[], { exists, hasFlannel, root, processors }: Surroundings): TestPlan {
  const everything = words.length === 0;
  const meant = KINDS.map((kind) => {
    const whole = (everything && (kind !== 'interop' || hasFlannel)) || words.includes(kind);
    const some = words.filter((word) => word !== 'checks' && !isKind(word) && kindsOf(word, exists).includes(kind));
    return { kind, whole, some };
  }).filter(({ whole, some }) => whole || some.length > 0);
  const phase = (isOf: (kind: Kind) => boolean, workers: number, secondLook: boolean): readonly Phase[] => {
    const runs = meant.filter(({ kind }) => isOf(kind));
    if (runs.length === 0) return [];
    const patterns = runs.every(({ whole }) => whole)
      ? []
      : runs.flatMap(({ kind, whole, some }) => (whole ? [patternOf(kind, root)] : some));
    return [{ kinds: runs.map(({ kind }) => kind), patterns: [...new Set(patterns)], workers, secondLook }];
  };
  return {
    checks: everything || words.includes('checks'),
    phases: [
      ...phase((kind) => kind === 'unit', processors, false),
      ...phase((kind) => kind !== 'unit', processors + 1, true),
    ],
  };
}

function isKind(word: string): word is Kind {
  return (KINDS as readonly string[]).includes(word);
}

/** A path names its kind itself; part of a name may be of any. */
function kindsOf(word: string, exists: (path: string) => boolean): readonly Kind[] {
  const [, kind = ''] = /^(?:\.\/)?tests\/([^/]+)/.exec(word) ?? [];
  if (isKind(kind)) return [kind];
  return exists(word) && !/^(?:\.\/)?tests\/?$/.test(word) ? ['unit'] : KINDS;
}

/** All files of a kind. */
function patternOf(kind: Kind, root: string): string {
  const escaped = root.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&');
  return kind === 'unit' ? `^${escaped}/(?!tests/)` : `^${escaped}/tests/${kind}/`;
}

/** The kind of a test file, by its path relative to the checkout. */
export function kindOfFile(file: string): Kind {
  const [, kind = ''] = /^tests\/([^/]+)\//.exec(file) ?? [];
  return isKind(kind) ? kind : 'unit';
}
