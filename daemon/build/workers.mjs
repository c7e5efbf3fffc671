import { join } from 'node:path';
import { build } from 'esbuild';

const ENGINE = join(import.meta.dirname, '../src/datapath/tun/engine');

/** The workers of src/datapath/tun/engine/spawn.ts: name, and the file that runs in the thread. */
const ENTRIES = { 'engine-reference': 'reference/worker.ts', 'engine-fast': 'fast/worker.ts' };

/**
 * For the `define` of whoever bundles the daemon, esbuild or Bun: puts the source of each worker, bundled, into spawn.ts. A
 * program in one file has no other file to start a thread from.
 *
 * @returns {Promise<{ FLANNEL_WORKERS: string }>}
 */
export async function workerDefine() {
  const sources = await Promise.all(Object.entries(ENTRIES).map(async ([name, file]) => [name, await bundle(file)]));
  return { FLANNEL_WORKERS: JSON.stringify(Object.fromEntries(sources)) };
}

/** @param {string} file */
async function bundle(file) {
  const { outputFiles } = await build({
    entryPoints: [join(ENGINE, file)],
    bundle: true,
    write: false,
    platform: 'node',
    format: 'cjs',
    target: 'node20',
    minifySyntax: true,
    legalComments: 'none',
  });
  return outputFiles.map((output) => output.text).join('');
}
