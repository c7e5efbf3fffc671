/** The reference engine, which dies whenever the file FLTEST_ENGINE_DIES appears. */
import { existsSync, rmSync } from 'node:fs';
import type { StartEngine } from '../../../daemon/src/datapath/tun/engine/engine.ts';
import { startReferenceEngine as start } from '../../../daemon/src/datapath/tun/engine/reference/engine';

export const startReferenceEngine: StartEngine = async (config, signal) => {
  const engine = await start(config, signal);
  const file = process.env.FLTEST_ENGINE_DIES!;
  const failed = new Promise<Error>((resolve) => {
    const timer = setInterval(() => {
      if (!existsSync(file)) return;
      clearInterval(timer);
      rmSync(file);
      void engine.stop().then(() => resolve(new Error('The file is there')));
    }, 50);
  });
  return {
    failed,
    setRoutes: (routes) => engine.setRoutes(routes),
    changeRoutes: (change) => engine.changeRoutes(change),
    setPathLimit: (peer, limit) => engine.setPathLimit(peer, limit),
    counters: () => engine.counters(),
    stop: () => engine.stop(),
  };
};
