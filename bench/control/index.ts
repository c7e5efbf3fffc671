/**
 * The control plane: how soon a node knows its peers, and what that costs. Everything is seen from outside, by packets that
 * arrive, so flannel itself can take part: FLANNEL_UPSTREAM names a build of it. With BENCH_QUICK there is less of each,
 * and BENCH_ROUNDS says how often each number of leases is measured.
 */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Result, summarize } from '../result.ts';
import { upstreamVersion } from '../upstream.ts';
import { measureCrowd, measureScarceSubnets } from './crowd.ts';
import { measurePeers } from './peers.ts';
import type { Contender, Samples } from './samples.ts';

export const name = 'control';

const SHIPPED = path.resolve('dist/flanneld');

/** Numbers of leases, and how often each is measured: fifteen minutes with flannel, most of them waiting. */
const FULL = [
  ['udp', 1000, 3],
  ['udp', 5000, 1],
  ['vxlan', 1000, 1],
  ['vxlan', 5000, 1],
] as const;
const QUICK = [
  ['udp', 1000, 1],
  ['vxlan', 1000, 1],
] as const;

export async function run(): Promise<Result[]> {
  const upstream = process.env.FLANNEL_UPSTREAM;
  for (const program of [SHIPPED, ...(upstream ? [upstream] : [])]) {
    if (!existsSync(program)) throw new Error(`${program} is missing: run "npm run build", or see FLANNEL_UPSTREAM`);
  }
  const contenders: Contender[] = [
    { name: 'here', program: SHIPPED },
    ...(upstream ? [{ name: 'flannel', program: path.resolve(upstream) }] : []),
  ];
  const quick = process.env.BENCH_QUICK === '1';
  const measured = contenders.map((): Samples => new Map());
  /** In turns, so that whatever else the machine does meets both. */
  const inTurns = async (measure: (contender: Contender, samples: Samples) => Promise<void>): Promise<void> => {
    for (const [index, contender] of contenders.entries()) {
      process.stderr.write(`  ${contender.name}\n`);
      await measure(contender, measured[index]!);
      await sleep(200);
    }
  };
  const { BENCH_ROUNDS } = process.env;
  for (const [backend, leases, usual] of quick ? QUICK : FULL) {
    const rounds = BENCH_ROUNDS ? Number(BENCH_ROUNDS) : usual;
    for (let round = 0; round < rounds; round++) {
      await inTurns((contender, samples) => measurePeers(contender, backend, leases, quick ? 20 : 100, samples));
    }
  }
  await inTurns((contender, samples) => measureCrowd(contender, quick ? 10 : 50, samples));
  await inTurns(measureScarceSubnets);
  const [own, peer] = measured;
  return [...own!].map(([what, { unit, runs }]) => {
    const other = peer?.get(what);
    return summarize(`Control, ${what}`, unit, runs, other && { name: 'flannel', runs: other.runs });
  });
}

export function flannelVersion(): string | undefined {
  return upstreamVersion(process.env.FLANNEL_UPSTREAM);
}
