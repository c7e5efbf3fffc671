import type { Logger } from 'pino';
import { Backoff, childSignal, sleep } from './abort.ts';
import { messageOf } from './errors.ts';
import { Repeats } from './repeats.ts';

export type Task = (signal: AbortSignal) => Promise<void>;

/**
 * Runs tasks side by side until the signal aborts or one of them fails; then aborts the others and waits for all, so that
 * nothing runs on afterwards. Rejects with the first failure.
 */
export async function runTogether(tasks: readonly Task[], signal: AbortSignal): Promise<void> {
  const group = childSignal(signal);
  let failure: { readonly error: unknown } | undefined;
  await Promise.all(
    tasks.map((task) =>
      task(group.signal).catch((error: unknown) => {
        // What comes after the abort is its consequence.
        if (!group.signal.aborted) failure ??= { error };
        group.abort();
      }),
    ),
  );
  group.dispose();
  if (failure !== undefined) throw failure.error;
}

export interface PersistentParts {
  /** Begins a sentence: "Watching the drops of the device". */
  readonly what: string;
  /** Undefined once it has run for a while. */
  readonly note: (text: string | undefined) => void;
  readonly log: Logger;
}

export interface PersistentTimings {
  readonly firstMs: number;
  readonly mostMs: number;
  readonly calmMs: number;
}

const PERSISTENT_TIMINGS: PersistentTimings = { firstMs: 1000, mostMs: 30_000, calmMs: 60_000 };

/** A task whose failure must not stop packets: it is logged, noted, and the task begun again after a pause. */
export function persistent(
  { what, note, log }: PersistentParts,
  task: Task,
  { firstMs, mostMs, calmMs }: PersistentTimings = PERSISTENT_TIMINGS,
): Task {
  return async (signal) => {
    const backoff = new Backoff(firstMs, mostMs);
    const repeats = new Repeats();
    while (!signal.aborted) {
      const start = performance.now();
      const run = childSignal(signal);
      void sleep(calmMs, run.signal).then(() => {
        if (run.signal.aborted) return;
        note(undefined);
        const over = repeats.over(performance.now());
        if (over !== undefined) log.info(`${what} works again ${over}`);
      });
      try {
        return await task(signal);
      } catch (error) {
        if (signal.aborted) return;
        if (performance.now() - start > calmMs) backoff.reset();
        const text = `${what} failed, starting it again: ${messageOf(error)}`;
        const line = repeats.failed(text, performance.now());
        if (line !== undefined) log.error({ stack: error instanceof Error ? error.stack : undefined }, line);
        note(text);
      } finally {
        run.abort();
        run.dispose();
      }
      await sleep(backoff.take(), signal);
    }
  };
}
