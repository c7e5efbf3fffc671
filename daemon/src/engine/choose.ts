/** The engines by the names that flanneld's options give them. */
import type { Engine, StartEngine } from './engine.ts';
import { startFastEngine } from './fast/engine.ts';
import { startReferenceEngine } from './reference/engine.ts';

export const ENGINE_NAMES = ['fast', 'reference'] as const;
export type EngineName = (typeof ENGINE_NAMES)[number];

export interface EngineChoice {
  readonly start: StartEngine;
  /** Whether the engine takes a device with a virtio header before each packet. */
  readonly vnetHeader: boolean;
}

const WATCH_INTERVAL_MS = 5000;

/** `warn` hears once per engine when the kernel refused an offload that it had offered. */
export function chooseEngine(name: EngineName, offload: boolean, warn: (text: string) => void): EngineChoice {
  if (name === 'reference') return { start: startReferenceEngine, vnetHeader: false };
  const start: StartEngine = async (config, signal) =>
    watchFallbacks(await startFastEngine({ ...config, offload }, signal), warn);
  return { start, vnetHeader: true };
}

export function watchFallbacks(engine: Engine, warn: (text: string) => void): Engine {
  const timer = setInterval(() => {
    const { offloadFallbacks, lastErrno } = engine.counters();
    if (offloadFallbacks === 0) return;
    clearInterval(timer);
    warn(`The kernel refused the use of an offload (last errno ${lastErrno}): the engine goes on without it`);
  }, WATCH_INTERVAL_MS).unref();
  const { failed } = engine;
  void failed.then(() => clearInterval(timer));
  return {
    failed,
    setRoutes: (routes) => engine.setRoutes(routes),
    counters: () => engine.counters(),
    stop: async () => {
      clearInterval(timer);
      await engine.stop();
    },
  };
}
