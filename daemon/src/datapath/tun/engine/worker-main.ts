import { parentPort, workerData } from 'node:worker_threads';
import { POLLOUT, pollFds } from '@flannel-ts/linux/poll';
import { setThreadName } from '@flannel-ts/linux/thread';
import type { EngineConfig } from './engine.ts';
import { EngineError } from './errors.ts';
import { PHASE, STATE, sharedOf } from './shared.ts';

/** What an engine's worker is started with. */
export interface EngineWorkerData {
  readonly config: EngineConfig;
  readonly buffer: SharedArrayBuffer;
  readonly wakeFd: number;
  /** The longest sleep of the worker: bounds the effect of a lost wake-up and the interval of its heartbeat. */
  readonly pollTimeoutMs: number;
}

export type EngineWorkerMessage =
  | { readonly type: 'running' }
  | { readonly type: 'failed'; readonly code: EngineError['code']; readonly message: string };

const LOOK_MS = 2;

/** Returns when the routes that the engine was started with are applied, or it is to stop. */
export function applyFirstRoutes({ buffer }: EngineWorkerData, forwarder: Routed): void {
  const { state } = sharedOf(buffer);
  for (;;) {
    // Read before the changes are: what is announced later is not of the first routes.
    const isHeld = Atomics.load(state, STATE.held) !== 0;
    while (forwarder.hasChanges) forwarder.refreshRoutes();
    if (!isHeld || Atomics.load(state, STATE.stop) !== 0) return;
    Atomics.add(state, STATE.heartbeat, 1);
    Atomics.wait(state, STATE.held, 1, LOOK_MS);
  }
}

interface Routed {
  readonly hasChanges: boolean;
  refreshRoutes(): void;
}

const FINISH_TRIES = 10;
const FINISH_WAIT_MS = 10;

/** A packet that has been read would be lost with the thread: waits a little for room in the socket that it is for. */
export function finishSending(finish: () => boolean, socket: () => number): void {
  for (let tries = 0; tries < FINISH_TRIES && !finish(); tries++) {
    pollFds([{ fd: socket(), events: POLLOUT }], FINISH_WAIT_MS);
  }
}

/**
 * The frame of every engine's worker: `run` returns when the stop word is set. Errors go to the host as a message, since an
 * error thrown in a worker loses its class and code on the way.
 */
export function runEngineWorker(run: (data: EngineWorkerData) => void): void {
  const data = workerData as EngineWorkerData;
  const { state } = sharedOf(data.buffer);
  const post = (message: EngineWorkerMessage): void => parentPort!.postMessage(message);
  try {
    // This is also the first system call: a thread that cannot make any must not report that it runs.
    setThreadName('engine');
    Atomics.store(state, STATE.phase, PHASE.running);
    post({ type: 'running' });
    run(data);
  } catch (error) {
    const code = error instanceof EngineError ? error.code : 'WORKER_DIED';
    post({ type: 'failed', code, message: error instanceof Error ? error.message : String(error) });
  } finally {
    Atomics.store(state, STATE.phase, PHASE.ended);
  }
}
