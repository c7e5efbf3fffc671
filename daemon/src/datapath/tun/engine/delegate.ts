import type { Engine } from './engine.ts';

/** The engine with some of its methods replaced. */
export function delegate(engine: Engine, own: Partial<Engine>): Engine {
  return {
    failed: engine.failed,
    setRoutes: (routes) => engine.setRoutes(routes),
    changeRoutes: (change) => engine.changeRoutes(change),
    setPathLimit: (peer, limit) => engine.setPathLimit(peer, limit),
    counters: () => engine.counters(),
    stop: () => engine.stop(),
    ...own,
  };
}
