/**
 * The control plane: how soon a node knows its peers, and what that costs. Everything is seen from outside, by packets that
 * arrive, so flannel itself can take part: FLANNEL_UPSTREAM names a build of it. With BENCH_QUICK there is less of each.
 */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Result, summarize } from '../result.ts';
import { measureCrowd, measureScarceSubnets } from './crowd.ts';
import { measurePeers } from './peers.ts';
import type { Contender, Samples } from './samples.ts';

export const name = 'control';

const SHIPPED = path.resolve('dist/flanneld');

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
  const measured: Samples[] = [];
  for (const contender of contenders) {
    process.stderr.write(`  ${contender.name}\n`);
    const samples: Samples = new Map();
    for (const leases of quick ? [1000] : [1000, 5000]) {
      for (let round = 0; round < (quick ? 1 : 3); round++) {
        await measurePeers(contender, leases, quick ? 20 : 100, samples);
        await sleep(200);
      }
    }
    await measureCrowd(contender, quick ? 10 : 50, samples);
    await measureScarceSubnets(contender, samples);
    measured.push(samples);
  }
  const [own, peer] = measured;
  return [...own!].map(([what, { unit, runs }]) => {
    const other = peer?.get(what);
    return summarize(`Control, ${what}`, unit, runs, other && { name: 'flannel', runs: other.runs });
  });
}
