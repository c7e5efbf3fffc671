import { childSignal } from './abort.ts';

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
