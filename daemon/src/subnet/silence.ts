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

export async function watchSilence(manager: SubnetManager, report: Report, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const statistics = manager.statistics?.();
    report(statistics && silenceTrouble(statistics));
    await sleep(EVERY_MS, signal);
  }
}
