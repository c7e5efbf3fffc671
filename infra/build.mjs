/**
 * Bundles the Pulumi program and what Pulumi's provider process and the machines run, into infra/dist. Nothing is built
 * whose sources are as they were.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('.', import.meta.url));
const RECORD = join(root, 'dist', 'inputs.json');
const SCRIPTS = ['aws/boot', 'local/machine'];

/**
 * @param {(work: () => Promise<void>) => Promise<void>} [announce] runs the build, if there is one to be done
 * @returns {Promise<void>}
 */
export async function ensureBuilt(announce = (work) => work()) {
  if (!isFresh()) await announce(buildInfra);
}

async function buildInfra() {
  const { build } = await import('esbuild');
  const { metafile, outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: {
      program: 'index.ts',
      host: 'local/host.ts',
      account: 'aws/account.ts',
      supervisor: 'local/supervisor/main.ts',
      machine: 'local/machine/main.ts',
      publish: 'local/publish/main.ts',
    },
    outdir: 'dist',
    outExtension: { '.js': '.cjs' },
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'cjs',
    // Of Pulumi there may be one copy only; the host is loaded by the provider process; koffi is a native addon.
    external: ['@pulumi/*', '@flannel-ts/infra/host', '@flannel-ts/infra/account', 'koffi'],
    // Otherwise a declared field would hide the output of that name which Pulumi's constructor has set.
    tsconfigRaw: { compilerOptions: { useDefineForClassFields: false } },
    sourcemap: 'linked',
    legalComments: 'none',
    logLevel: 'warning',
    metafile: true,
    write: false,
  });
  // Read by the program and the host from beside their own files.
  const scripts = SCRIPTS.flatMap((folder) =>
    readdirSync(join(root, folder)).map((name) => `${folder}/${name}`),
  ).filter((path) => path.endsWith('.sh'));
  for (const path of scripts) writeWhole(join(root, 'dist', basename(path)), readFileSync(join(root, path)));
  const files = [...Object.keys(metafile.inputs), ...scripts, 'build.mjs'].sort();
  for (const { path, contents } of outputFiles) writeWhole(path, contents);
  writeWhole(RECORD, JSON.stringify({ files, hash: hashFiles(files) }));
}

/** Whether the bundles are of the sources as they are now. By content: a switched branch or a copied checkout may have any times. */
function isFresh() {
  try {
    /** @type {{files: string[], hash: string}} */
    const { files, hash } = JSON.parse(readFileSync(RECORD, 'utf8'));
    return hashFiles(files) === hash;
  } catch {
    return false; // never built, or a source is gone
  }
}

/** @param {readonly string[]} files relative to this directory */
function hashFiles(files) {
  const hash = createHash('sha256');
  for (const file of files)
    hash
      .update(`${file}\0`)
      .update(readFileSync(join(root, file)))
      .update('\0');
  return hash.digest('hex');
}

/**
 * Renamed into place: a command may be loading the one before.
 * @param {string} path
 * @param {string | Uint8Array} contents
 */
function writeWhole(path, contents) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(`${path}.${process.pid}`, contents);
  renameSync(`${path}.${process.pid}`, path);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await ensureBuilt();
