/**
 * How much is measured. BENCH_QUICK=1 (`npm run bench -- --quick`) is for whoever works on an engine: seconds instead of minutes.
 * Each of these variables overrides one value: BENCH_PARTS, BENCH_PATHS, BENCH_MTU (lists), BENCH_ROUNDS, BENCH_SECONDS,
 * BENCH_RUNTIME, and BENCH_ENGINE (JSON: properties of the fast engine's configuration). With FLANNEL_UPSTREAM naming a build of
 * github.com/flannel-io/flannel, flannel's own udp backend takes part, too.
 */
import type { Runtime } from './engine-process.ts';
import type { PathName } from './paths.ts';

export const PART_NAMES = ['tcp', 'udp', 'rr', 'options', 'daemon', 'profile'] as const;
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
  paths: ['fast', 'vxlan', 'reference', 'host-gw'],
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

export function settingsOf(environment: Readonly<Record<string, string | undefined>>): Settings {
  const base = environment.BENCH_QUICK ? QUICK : FULL;
  const upstream = environment.FLANNEL_UPSTREAM || undefined;
  const words = (name: string): string[] | undefined => environment[name]?.split(',');
  return {
    ...base,
    parts: words('BENCH_PARTS')?.map((word) => oneOf(PART_NAMES, 'BENCH_PARTS', word)) ?? base.parts,
    paths: words('BENCH_PATHS')?.map((word) => oneOf([...FULL.paths, UPSTREAM_PATH], 'BENCH_PATHS', word)) ?? [
      ...base.paths,
      ...(upstream === undefined ? [] : ([UPSTREAM_PATH] as const)),
    ],
    mtus: words('BENCH_MTU')?.map(Number) ?? base.mtus,
    rounds: Number(environment.BENCH_ROUNDS ?? base.rounds),
    seconds: Number(environment.BENCH_SECONDS ?? base.seconds),
    runtime: oneOf(['bun', 'node', 'node-profile'], 'BENCH_RUNTIME', environment.BENCH_RUNTIME ?? base.runtime),
    engineSettings: JSON.parse(environment.BENCH_ENGINE ?? '{}') as object,
    upstream,
  };
}

function oneOf<T extends string>(known: readonly T[], variable: string, word: string): T {
  const found = known.find((each) => each === word);
  if (found === undefined) throw new Error(`${variable} "${word}" is not known: use ${known.join(', ')}`);
  return found;
}
