import { childSignal, sleep } from '../abort.ts';

/** How often to look whether the source is still silent. */
const LOOK_MS = 200;

/**
 * What the source yields; preceded by the substitute, once, when the source has yielded nothing by the time that `isSilent`
 * says so.
 */
export async function* withFallback<T>(
  source: (signal: AbortSignal) => AsyncGenerator<T>,
  substitute: (() => T) | undefined,
  isSilent: () => boolean,
  signal: AbortSignal,
): AsyncGenerator<T> {
  const running = childSignal(signal);
  const iterator = source(running.signal);
  try {
    let next = iterator.next();
    if (substitute !== undefined && (await yieldsNothing(next, isSilent, running.signal))) yield substitute();
    for (;;) {
      const { done, value } = await next;
      if (done) return;
      yield value;
      next = iterator.next();
    }
  } finally {
    running.abort();
    running.dispose();
    // Not waited for: a generator that waits cannot be returned from, and a call to a member that does not answer takes seconds.
    iterator.return(undefined).catch(() => {});
  }
}

/** True when the source became silent before `next` was there. */
async function yieldsNothing(next: Promise<unknown>, isSilent: () => boolean, signal: AbortSignal): Promise<boolean> {
  let settled = false;
  const mark = (): void => {
    settled = true;
  };
  next.then(mark, mark);
  while (!settled && !signal.aborted) {
    if (isSilent()) return true;
    await Promise.race([next, sleep(LOOK_MS, signal)]).catch(() => {});
  }
  return false;
}
