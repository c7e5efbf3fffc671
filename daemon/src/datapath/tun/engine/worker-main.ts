import { parentPort, workerData } from 'node:worker_threads';
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
