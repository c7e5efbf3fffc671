/** Whether the source of config and leases is heard of. */
import { sleep } from '../abort.ts';
import type { Report, SourceStatistics, SubnetManager } from './manager.ts';

/** Packets flow without the source, but new nodes and new addresses stay unknown. */
const SILENCE_LIMIT_MS = 60_000;
const EVERY_MS = 2000;

export function silenceTrouble(
  { name, silentMs, member, servesKept }: SourceStatistics,
  limitMs = SILENCE_LIMIT_MS,
): string | undefined {
  if (silentMs < limitMs) return undefined;
  const where = member === undefined ? name : `${name} (last tried: ${member})`;
  const known = servesKept ? 'what an earlier run kept on disk stays in force' : 'what is known stays in force';
  return `${where} has not answered for ${Math.round(silentMs / 1000)} s, ${known}: check ${name} and the way to it`;
}

/** Longer than a watch is silent that has nothing to say. */
const WAIT_SILENCE_MS = 6000;
const WAIT_EVERY_MS = 500;

/** What a start waits for. */
export function waitingTrouble(what: string, statistics: SourceStatistics | undefined): string {
  if (statistics === undefined) return `waiting for ${what}`;
  const { name, silentMs, member } = statistics;
  const where = member === undefined ? name : `${name} (last tried: ${member})`;
  if (silentMs < WAIT_SILENCE_MS) return `waiting for ${what} from ${where}`;
  return `waiting for ${where}, which has not answered for ${Math.round(silentMs / 1000)} s: check ${name} and the way to it`;
}

/** Reports what is waited for until it is there. */
export async function reportWaiting<T>(
  work: Promise<T>,
  what: string,
  manager: SubnetManager,
  report: (trouble: string) => void,
): Promise<T> {
  const say = (): void => report(waitingTrouble(what, manager.statistics?.()));
  say();
  const timer = setInterval(say, WAIT_EVERY_MS);
  return work.finally(() => clearInterval(timer));
}

export async function watchSilence(manager: SubnetManager, report: Report, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const statistics = manager.statistics?.();
    report(statistics && silenceTrouble(statistics));
    await sleep(EVERY_MS, signal);
  }
}
