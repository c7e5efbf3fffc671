// Plain JavaScript: by this file TypeScript is loaded.
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { hashFiles } from './inputs.mjs';

/** Workspace packages export TypeScript and must go into the bundle; everything else is there at run time. */
const WORKSPACE = /^(?:@flannel-ts\/|tun-tap(?:\/|$)|\.{1,2}\/|\/)/;

/** @type {import('esbuild').Plugin} */
const externalPackages = {
  name: 'external-packages',
  setup({ onResolve }) {
    onResolve({ filter: /.*/ }, ({ path, kind }) =>
      kind === 'entry-point' || WORKSPACE.test(path) ? undefined : { path, external: true },
    );
  },
};

/**
 * Bundles a TypeScript entry for Node.js, unless none of its sources has changed since.
 * @param {string} root
 * @param {string} entry relative to root
 * @param {string} output relative to root
 * @returns {Promise<string>} the bundle
 */
export async function bundle(root, entry, output) {
  const outfile = join(root, output);
  const record = `${outfile}.inputs.json`;
  if (isFresh(root, record)) return outfile;
  const { build } = await import('esbuild');
  const { metafile, outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: [entry],
    outfile,
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'cjs',
    sourcemap: 'inline',
    metafile: true,
    write: false,
    logLevel: 'warning',
    plugins: [externalPackages],
  });
  const files = [...Object.keys(metafile.inputs), 'tools/build/bundle.mjs'].sort();
  mkdirSync(dirname(outfile), { recursive: true });
  for (const { path, contents } of outputFiles) writeWhole(path, contents);
  writeWhole(record, JSON.stringify({ files, hash: hashFiles(root, files) }));
  return outfile;
}

/**
 * Another command may be reading the file.
 * @param {string} path
 * @param {string | Uint8Array} contents
 */
function writeWhole(path, contents) {
  const work = `${path}.${process.pid}`;
  writeFileSync(work, contents);
  renameSync(work, path);
}

/**
 * @param {string} root
 * @param {string} record
 */
function isFresh(root, record) {
  try {
    /** @type {{files: string[], hash: string}} */
    const { files, hash } = JSON.parse(readFileSync(record, 'utf8'));
    return hashFiles(root, files) === hash;
  } catch {
    return false; // no record yet, or a source is gone
  }
}
