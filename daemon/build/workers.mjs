import { join } from 'node:path';
import { build } from 'esbuild';

const ENGINE = join(import.meta.dirname, '../src/datapath/tun/engine');

/**
 * The file that runs in the thread, for each worker of src/datapath/tun/engine/spawn.ts.
 *
 * @type {Readonly<Record<import('../src/datapath/tun/engine/spawn.ts').WorkerName, string>>}
 */
const ENTRIES = { 'engine-reference': 'reference/worker.ts', 'engine-fast': 'fast/worker.ts' };

/**
 * For the `define` of whoever bundles the daemon, esbuild or Bun: puts the bundled source of each worker into spawn.ts. A
 * program in one file has no other file to start a thread from.
 *
 * @returns {Promise<{ FLANNEL_WORKERS: string }>}
 */
export async function workerDefine() {
  const sources = await Promise.all(
    Object.keys(ENTRIES).map(async (name) => {
      const options = workerBundle(/** @type {keyof typeof ENTRIES} */ (name));
      const { outputFiles } = await build({ ...options, minifySyntax: true, legalComments: 'none' });
      return [name, outputFiles.map(({ text }) => text).join('')];
    }),
  );
  return { FLANNEL_WORKERS: JSON.stringify(Object.fromEntries(sources)) };
}

/**
 * How esbuild bundles a worker.
 *
 * @param {keyof typeof ENTRIES} name
 */
export function workerBundle(name) {
  return {
    entryPoints: [join(ENGINE, ENTRIES[name])],
    bundle: true,
    write: /** @type {const} */ (false),
    platform: /** @type {const} */ ('node'),
    format: /** @type {const} */ ('cjs'),
    target: 'node20',
  };
}
