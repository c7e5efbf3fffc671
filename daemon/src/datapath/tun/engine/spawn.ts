import { Worker } from 'node:worker_threads';

export type WorkerName = 'engine-reference' | 'engine-fast';

/** The bundled source of each worker: put in place by the build (`workerDefine` of build/workers.mjs). */
declare const FLANNEL_WORKERS: Readonly<Record<WorkerName, string>>;

/**
 * Code started from text would resolve packages (koffi) from the working directory: this makes it resolve them from the program,
 * whose path is known here only: a worker's own process.argv[1] is "[worker eval]".
 */
function prologue(): string {
  const program = process.argv[1]?.startsWith('/') ? process.argv[1] : `${process.cwd()}/`;
  return `globalThis.require = process.getBuiltinModule('node:module').createRequire(${JSON.stringify(program)});\n`;
}

/** Starts a worker from its source text: a program in one file (a Node bundle, a Bun binary) has no other file to load. */
export function spawnWorker(name: WorkerName, workerData: unknown): Worker {
  const start = process.versions.bun === undefined ? prologue() : '';
  return new Worker(start + FLANNEL_WORKERS[name], { eval: true, name, workerData });
}
