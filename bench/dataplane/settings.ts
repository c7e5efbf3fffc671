/**
 * How much is measured. BENCH_QUICK=1 (`npm run bench -- --quick`) is for whoever works on an engine: seconds instead of minutes.
 * Each of these variables overrides one value: BENCH_PARTS, BENCH_PATHS, BENCH_MTU (lists), BENCH_ROUNDS, BENCH_SECONDS,
 * BENCH_RUNTIME, and BENCH_ENGINE (JSON: properties of the fast engine's configuration). With FLANNEL_UPSTREAM naming a build of
 * github.com/flannel-io/flannel, flannel's own udp backend takes part, too.
 */
import type { Runtime } from './engine-process.ts';
import type { PathName } from './paths.ts';

export const PART_NAMES = ['tcp', 'udp', 'rr', 'options', 'daemon', 'backends', 'profile'] as const;
export type PartName = (typeof PART_NAMES)[number];

export interface Settings {
  readonly parts: readonly PartName[];
  readonly paths: readonly PathName[];
  /** Of the link between the nodes. */
  readonly mtus: readonly number[];
  readonly rounds: number;
  /** Of each measurement of throughput; whole numbers. */
  readonly seconds: number;
  readonly quick: boolean;
  readonly runtime: Runtime;
  /** Further properties of the fast engine's configuration. */
  readonly engineSettings: object;
  /** Flannel's own program. */
  readonly upstream: string | undefined;
}

const FULL: Settings = {
  parts: PART_NAMES,
  paths: ['ebpf', 'fast', 'vxlan', 'reference', 'host-gw'],
  mtus: [1500, 9001],
  rounds: 3,
  seconds: 1,
  quick: false,
  runtime: 'bun',
  engineSettings: {},
  upstream: undefined,
};
/** Of the paths; only where there is its program. */
const UPSTREAM_PATH = 'flannel';
const QUICK: Settings = { ...FULL, parts: ['tcp', 'rr'], mtus: [1500], rounds: 1, quick: true };

/** What a user set is wrong; a sentence for them. */
export class SettingError extends Error {
  readonly code = 'SETTING';
}

/** Throws SettingError. */
export function settingsOf(environment: Readonly<Record<string, string | undefined>>): Settings {
  const base = environment.BENCH_QUICK ? QUICK : FULL;
  const upstream = environment.FLANNEL_UPSTREAM || undefined;
  const words = (name: string): string[] | undefined => environment[name]?.split(',');
  return {
    ...base,
    parts: words('BENCH_PARTS')?.map((word) => oneOf(PART_NAMES, 'BENCH_PARTS', word)) ?? base.parts,
    paths: pathsOf(words('BENCH_PATHS'), base.paths, upstream),
    mtus: words('BENCH_MTU')?.map((word) => wholeNumber('BENCH_MTU', word)) ?? base.mtus,
    rounds: wholeNumber('BENCH_ROUNDS', environment.BENCH_ROUNDS ?? `${base.rounds}`),
    seconds: wholeNumber('BENCH_SECONDS', environment.BENCH_SECONDS ?? `${base.seconds}`),
    runtime: oneOf(['bun', 'node', 'node-profile'], 'BENCH_RUNTIME', environment.BENCH_RUNTIME ?? base.runtime),
    engineSettings: jsonObject('BENCH_ENGINE', environment.BENCH_ENGINE ?? '{}'),
    upstream,
  };
}

function pathsOf(words: string[] | undefined, usual: readonly PathName[], upstream: string | undefined): PathName[] {
  if (words === undefined) return upstream === undefined ? [...usual] : [...usual, UPSTREAM_PATH];
  const paths = words.map((word) => oneOf<PathName>([...FULL.paths, UPSTREAM_PATH], 'BENCH_PATHS', word));
  if (paths.includes(UPSTREAM_PATH) && upstream === undefined) {
    throw new SettingError(
      `BENCH_PATHS "${UPSTREAM_PATH}" needs FLANNEL_UPSTREAM, a build of github.com/flannel-io/flannel`,
    );
  }
  return paths;
}

function oneOf<T extends string>(known: readonly T[], variable: string, word: string): T {
  const found = known.find((each) => each === word);
  if (found === undefined) throw new SettingError(`${variable} "${word}" is not known: use ${known.join(', ')}`);
  return found;
}

function wholeNumber(variable: string, word: string): number {
  if (!/^[1-9]\d*$/.test(word)) throw new SettingError(`${variable} "${word}" is no whole number from 1 on`);
  return Number(word);
}

function jsonObject(variable: string, text: string): object {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
  } catch {
    // said below
  }
  throw new SettingError(`${variable} "${text}" is no JSON object`);
}
