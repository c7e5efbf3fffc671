import { Worker } from 'node:worker_threads';

/** Workers by name; the file that runs in the thread, relative to this directory. */
const ENTRIES = { 'engine-reference': 'reference/worker.ts' } as const;

export type WorkerName = keyof typeof ENTRIES;

/** Put in place by the build (esbuild's and Bun's `define`): the bundled source of each worker. */
declare const FLANNEL_WORKERS: Readonly<Record<WorkerName, string>> | undefined;

/**
 * Starts a worker from source text: the one way that is the same in jest, in a bundle and in a binary compiled by Bun, none of
 * which can load a TypeScript file by its path.
 */
export function spawnWorker(name: WorkerName, workerData: unknown): Worker {
  const source = typeof FLANNEL_WORKERS === 'undefined' ? bundle(name) : FLANNEL_WORKERS[name];
  return new Worker(source, { eval: true, name, workerData });
}

/** Outside of a build (tests, ts-node): bundles from the sources, with the development dependency esbuild. */
function bundle(name: WorkerName): string {
  const { buildSync } = require('esbuild') as typeof import('esbuild');
  const { join } = require('node:path') as typeof import('node:path');
  const { outputFiles } = buildSync({
    entryPoints: [join(__dirname, ENTRIES[name])],
    bundle: true,
    write: false,
    platform: 'node',
    format: 'cjs',
    target: 'node20',
    logLevel: 'silent',
  });
  return outputFiles[0]!.text;
}
