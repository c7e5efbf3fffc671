/**
 * Jest setup: what the build puts into engine/spawn.ts as FLANNEL_WORKERS is a global in tests, bundled from the sources. Each
 * worker is bundled when a test starts the first one, since most test files start none.
 */
import type * as workers from '../build/workers.mjs';
import type { WorkerName } from '../src/datapath/tun/engine/spawn.ts';

const bundled = new Map<string, string>();

/** Jest asks every global for properties of its own when a test file ends: that must not bundle anything. */
const isWorkerName = (name: string | symbol): name is WorkerName => String(name).startsWith('engine-');

Object.assign(globalThis, {
  FLANNEL_WORKERS: new Proxy({}, { get: (_, name) => (isWorkerName(name) ? sourceOf(name) : undefined) }),
});

function sourceOf(name: WorkerName): string {
  const source = bundled.get(name) ?? bundle(name);
  bundled.set(name, source);
  return source;
}

function bundle(name: WorkerName): string {
  const { buildSync } = require('esbuild') as typeof import('esbuild');
  const { workerBundle } = require('../build/workers.mjs') as typeof workers;
  const { outputFiles } = buildSync({ ...workerBundle(name), logLevel: 'silent' });
  return outputFiles[0]!.text;
}
