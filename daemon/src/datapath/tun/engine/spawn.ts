import { Worker } from 'node:worker_threads';

/** Workers by name; the file that runs in the thread, relative to this directory. Kept in step with build/workers.mjs. */
const ENTRIES = { 'engine-reference': 'reference/worker.ts', 'engine-fast': 'fast/worker.ts' } as const;

export type WorkerName = keyof typeof ENTRIES;

/** Put in place by the build (`workerDefine` of build/workers.mjs): the bundled source of each worker. */
declare const FLANNEL_WORKERS: Readonly<Record<WorkerName, string>> | undefined;

/**
 * Code started from text would look for packages (koffi) from the working directory; let it look from the program instead. The
 * program's path is known here only: a worker's own process.argv[1] is "[worker eval]".
 */
function prologue(): string {
  const program = process.argv[1]?.startsWith('/') ? process.argv[1] : `${process.cwd()}/`;
  return `globalThis.require = process.getBuiltinModule('node:module').createRequire(${JSON.stringify(program)});\n`;
}

/**
 * Starts a worker from source text: the one way that is the same in jest, in a Node bundle and in a binary compiled by Bun. None
 * of them can load a TypeScript file by its path.
 */
export function spawnWorker(name: WorkerName, workerData: unknown): Worker {
  const source = typeof FLANNEL_WORKERS === 'undefined' ? developmentSource(name) : FLANNEL_WORKERS[name];
  const start = process.versions.bun === undefined ? prologue() : '';
  return new Worker(start + source, { eval: true, name, workerData });
}

const bundled = new Map<WorkerName, string>();

/** Outside of a build (tests, ts-node): bundled from the sources, with the development dependency esbuild. */
function developmentSource(name: WorkerName): string {
  let source = bundled.get(name);
  if (source === undefined) {
    source = bundle(ENTRIES[name]);
    bundled.set(name, source);
  }
  return source;
}

function bundle(file: string): string {
  const load = require; // by value, so that no bundler of the daemon follows it to esbuild
  const { buildSync } = load('esbuild') as typeof import('esbuild');
  const { outputFiles } = buildSync({
    entryPoints: [`${__dirname}/${file}`],
    bundle: true,
    write: false,
    platform: 'node',
    format: 'cjs',
    target: 'node20',
    logLevel: 'silent',
  });
  return outputFiles[0]!.text;
}
