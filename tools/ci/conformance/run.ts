/** Runs the conformance tests on a substrate, and says what they found. */
import { setMaxListeners } from 'node:events';
import { formatTable } from '../../src/report/table.ts';
import {
  CHECK_SETTINGS,
  type CheckPlan,
  type CheckResult,
  type CheckSettings,
  complete,
  DESCRIPTIONS,
  failures,
  NODE_CHECKS,
  POD_CHECKS,
  type Pod,
  planChecks,
} from './checks.ts';
import type { Substrate } from './substrate.ts';

/** More at a time would measure this machine, and not the network. */
const PODS_AT_A_TIME = 3;

export async function runConformance(
  substrate: Substrate,
  signal: AbortSignal,
  settings: CheckSettings = CHECK_SETTINGS,
): Promise<CheckResult[]> {
  setMaxListeners(0, signal); // every command that runs listens to it
  try {
    const { pods, nodes, reachableNodes } = await substrate.open(settings.port, signal);
    const plans = planChecks(pods, nodes, reachableNodes, settings);
    const results: CheckResult[] = [];
    const reasons = new Map<string, string>();
    const queue = plans.values();
    const worker = async () => {
      for (const { pod, plan } of queue) {
        try {
          results.push(...(await checkFrom(substrate, pod, plan, signal)));
        } catch (error) {
          signal.throwIfAborted();
          reasons.set(pod.name, (error as Error).message);
        }
      }
    };
    await Promise.all(Array.from({ length: PODS_AT_A_TIME }, worker));
    return complete(plans, results, reasons);
  } finally {
    await substrate.close();
  }
}

async function checkFrom(substrate: Substrate, pod: Pod, plan: CheckPlan, signal: AbortSignal): Promise<CheckResult[]> {
  if (plan.targets.length === 0) return [];
  return JSON.parse(await substrate.check(pod, plan, signal)) as CheckResult[];
}

/** A line for each kind of check, and one for each that failed. */
export function formatConformance(results: readonly CheckResult[]): string {
  const rows = [...POD_CHECKS, ...NODE_CHECKS].map((check) => {
    const own = results.filter((result) => result.check === check);
    const good = own.length - failures(own).length;
    return [check, own.length === 0 ? 'not run' : `${good} of ${own.length}`, DESCRIPTIONS[check]];
  });
  const problems = failures(results).map(({ from, to, check, problem }) => `  ${check} ${from} -> ${to}: ${problem}`);
  return [formatTable(rows), ...problems].join('\n');
}
