/**
 * Pod to pod over each data path: the fast and the reference engine of the udp backend, and the kernel's own VXLAN and plain
 * routes. The paths take turns within each round, since a machine's speed drifts; a result is the median of the rounds.
 *
 * BENCH_SECONDS (2) per TCP measurement, BENCH_ROUNDS (3), BENCH_MTU (1500), BENCH_RUNTIME (bun).
 */
import { type Result, summarize } from '../result.ts';
import { buildProgram, type Program, type Runtime } from './engine-process.ts';
import { Lab, type Variant } from './lab.ts';
import { roundTrip, tcpRate, udpRate, warmUp } from './measure.ts';
import { layPath, type PathName } from './paths.ts';

export const name = 'dataplane';

const PATHS = (process.env.BENCH_PATHS?.split(',') ?? ['fast', 'vxlan', 'reference', 'host-gw']) as PathName[];
const VARIANTS: readonly Variant[] = ['whole', 'wire'];
const PEER: PathName = 'vxlan';
const PINGS = 200;

type Runs = Map<string, { readonly unit: string; readonly runs: number[] }>;

export async function run(): Promise<Result[]> {
  const seconds = Number(process.env.BENCH_SECONDS ?? 2);
  const rounds = Number(process.env.BENCH_ROUNDS ?? 3);
  const mtu = Number(process.env.BENCH_MTU ?? 1500);
  const lab = new Lab(`bench-${process.pid}`, mtu);
  const program = buildProgram((process.env.BENCH_RUNTIME ?? 'bun') as Runtime);
  const runs: Runs = new Map();
  try {
    lab.setUp();
    for (let round = 0; round < rounds; round++) {
      for (const variant of VARIANTS) {
        lab.setVariant(variant);
        for (const path of PATHS) await measure(lab, program, variant, path, seconds, runs);
      }
    }
  } finally {
    lab.tearDown();
    program.remove();
  }
  return results(runs);
}

async function measure(
  lab: Lab,
  program: Program,
  variant: Variant,
  pathName: PathName,
  seconds: number,
  runs: Runs,
): Promise<void> {
  const note = (what: string, unit: string, value: number): void => {
    const key = `${what}|${pathName}`;
    const entry = runs.get(key) ?? { unit, runs: [] };
    entry.runs.push(value);
    runs.set(key, entry);
  };
  const path = await layPath(pathName, lab, program);
  try {
    warmUp(lab);
    const cpuBefore = cpu(path.engines);
    for (const streams of [1, 4]) {
      note(`TCP, ${streams} streams, ${variant}`, 'Gbit/s', await tcpRate(lab, streams, seconds));
    }
    note(`processor time of the engines, ${variant}`, 's', cpu(path.engines) - cpuBefore);
    if (variant === 'wire') {
      note('round trip', 'ms', roundTrip(lab, PINGS));
      const { received, lost } = await udpRate(lab, 200, seconds);
      note('UDP of 200 bytes, received', 'thousand/s', received);
      note('UDP of 200 bytes, lost', '%', lost);
    }
    for (const engine of path.engines.slice(0, 1)) note('resident memory', 'MB', engine.residentMegabytes);
    if (process.env.BENCH_COUNTERS) for (const engine of path.engines) console.error(pathName, await engine.counters());
  } finally {
    await path.takeAway();
  }
}

function cpu(engines: readonly { readonly cpuSeconds: number }[]): number {
  return engines.reduce((sum, engine) => sum + engine.cpuSeconds, 0);
}

/** Each path beside the kernel's VXLAN, and the fast engine beside the reference. */
function results(runs: Runs): Result[] {
  const list: Result[] = [];
  for (const [key, { unit, runs: own }] of runs) {
    const [what, path] = key.split('|') as [string, PathName];
    const ownEngine = path === 'fast' || path === 'reference';
    if ((unit === 's' || unit === 'MB') && !ownEngine) continue;
    const peerName = unit === 's' || unit === 'MB' ? 'reference' : PEER;
    const peer = runs.get(`${what}|${peerName}`);
    const compared = peer !== undefined && path !== peerName && unit !== '%';
    list.push(summarize(`${what}: ${path}`, unit, own, compared ? { name: peerName, runs: peer.runs } : undefined));
    const reference = runs.get(`${what}|reference`);
    if (path === 'fast' && unit === 'Gbit/s' && reference !== undefined) {
      list.push(summarize(`${what}: ${path}`, unit, own, { name: 'reference', runs: reference.runs }));
    }
  }
  return list;
}
