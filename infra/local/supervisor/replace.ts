/** Starts a service with its new configuration beside the one that runs, which is a reserve until the new one serves. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Descriptor, restartDelay } from './descriptor.ts';
import { askGreeting, untilServing } from './hand-over.ts';
import { type Exit, type Service, startService, stopService } from './service.ts';

export type Outcome =
  /** It serves; the one before is of no use any more. */
  | { readonly kind: 'replaced'; readonly service: Service }
  /** It did not come up; the one before goes on. */
  | { readonly kind: 'refused'; readonly why: string }
  /** One of the two does not know how. */
  | { readonly kind: 'unable' };

const TRIES = 3;
const SERVING_MS = 60_000;
/** As for any wrong usage: it is older than the argument. */
const UNKNOWN_ARGUMENT = 2;

export async function replaceBeside(before: Service, descriptor: Descriptor, signal: AbortSignal): Promise<Outcome> {
  const { handOver, backoff } = descriptor;
  if (handOver === undefined || (await askGreeting(handOver.socket)) === undefined) return { kind: 'unable' };
  let why = 'it was to end';
  for (let tries = 0; tries < TRIES && !signal.aborted; tries++) {
    if (tries > 0) await sleep(restartDelay(backoff, tries - 1), undefined, { signal }).catch(() => {});
    const service = startService(descriptor, [handOver.argument]);
    const exit = service instanceof Promise ? await service : await serving(service, before, handOver.socket, signal);
    if (exit === 'serving') return { kind: 'replaced', service: service as Service };
    if (exit === 'silent') {
      if (!(service instanceof Promise)) await stopService(service, descriptor.stopMs);
      return { kind: 'refused', why: `it did not serve within ${SERVING_MS / 1000} s` };
    }
    if (exit.code === UNKNOWN_ARGUMENT) return { kind: 'unable' };
    why = `it ended ${tries + 1} times, the last time ${exit.signal ? `by ${exit.signal}` : `with exit code ${exit.code ?? 'unknown'}`}`;
  }
  return { kind: 'refused', why };
}

/** Whether it serves, also because there is no other any more; or how it ended before. */
async function serving(
  service: Service,
  before: Service,
  socket: string,
  signal: AbortSignal,
): Promise<'serving' | 'silent' | Exit> {
  const over = new AbortController();
  const stop = () => over.abort();
  signal.addEventListener('abort', stop, { once: true });
  const timer = setTimeout(stop, SERVING_MS);
  try {
    return await Promise.race([
      service.exited,
      before.exited.then(() => 'serving' as const),
      untilServing(socket, service.identity.pid, over.signal).then((is) =>
        is ? ('serving' as const) : ('silent' as const),
      ),
    ]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', stop);
    over.abort();
  }
}
