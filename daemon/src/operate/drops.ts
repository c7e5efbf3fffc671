/** Packets that the overlay's device dropped because nobody read them in time, and what there is to say of it. Pure. */
import { sleep } from '../abort.ts';
import type { DataPath } from '../datapath/datapath.ts';
export interface DropSample {
  readonly at: number;
  readonly dropped: number;
}

/** A burst now and then is lost everywhere; this many of it in a minute are worth a word. */
const MANY = 100;
const WINDOW_MS = 60_000;

/** The samples of the last minute with this one, and what there is to say of them. Pure. */
export function judgeDrops(
  samples: readonly DropSample[],
  latest: DropSample,
  device: string,
): { readonly samples: readonly DropSample[]; readonly note: string | undefined } {
  const kept = [
    ...samples.filter(({ at, dropped }) => latest.at - at <= WINDOW_MS && dropped <= latest.dropped),
    latest,
  ];
  const count = latest.dropped - kept[0]!.dropped;
  const note =
    count >= MANY
      ? `device ${device} dropped ${count} packets in the last minute: pods send faster than this node forwards; give it more processor time, or set Queues of the backend to 2 or more`
      : undefined;
  return { samples: kept, note };
}

const EVERY_MS = 10_000;

export async function watchDrops(
  dataPath: Pick<DataPath, 'device' | 'statistics'>,
  note: (text: string | undefined) => void,
  signal: AbortSignal,
): Promise<void> {
  let samples: readonly DropSample[] = [];
  while (!signal.aborted) {
    const dropped = dataPath.statistics().deviceDrops;
    if (dropped !== undefined) {
      const judged = judgeDrops(samples, { at: performance.now(), dropped }, dataPath.device);
      samples = judged.samples;
      note(judged.note);
    }
    await sleep(EVERY_MS, signal);
  }
}
