/** Builds the probe for both runtimes, as a node would get it: nothing of this repository's node_modules is in reach. */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  cpSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { etcd3ProtoPlugin } from '../../daemon/build/etcd3-proto-plugin.mjs';

/**
 * @typedef {object} Program
 * @property {string} runtime
 * @property {readonly string[]} command to run the probe
 * @property {readonly string[]} hello to run a program that does nothing
 * @property {number} bytes
 * @property {number} gzipBytes
 */

const HERE = import.meta.dirname;
const ROOT = join(HERE, '../..');

/**
 * @param {string} directory
 * @returns {Promise<{programs: Program[], workerFile: string}>}
 */
export async function buildPrograms(directory) {
  const workerFile = join(directory, 'worker.cjs');
  await bundle('worker.ts', workerFile);
  return { programs: [compiledByBun(directory), await carriedNode(directory)], workerFile };
}

/**
 * By the same script and with the same options as dist/flanneld.
 * @param {string} directory
 * @returns {Program}
 */
function compiledByBun(directory) {
  const bun = join(ROOT, 'node_modules/.bin/bun');
  const version = execFileSync(bun, ['--version'], { encoding: 'utf8' }).trim();
  const [probe, hello] = ['probe', 'hello'].map((name) => {
    const outfile = join(directory, `${name}-bun`);
    const target = `bun-linux-${process.arch}`;
    const task = { entries: [join(HERE, `${name}.ts`)], outfile, version: '0.0.0', target };
    execFileSync(bun, [join(ROOT, 'tools/build/compile.ts'), JSON.stringify(task)], { cwd: ROOT, stdio: 'pipe' });
    return outfile;
  });
  const runtime = `Bun ${version}, compiled`;
  return { runtime, command: [String(probe)], hello: [String(hello)], ...size([String(probe)]) };
}

/**
 * The node that runs this script, a bundle, and koffi beside it.
 * @param {string} directory
 * @returns {Promise<Program>}
 */
async function carriedNode(directory) {
  const place = join(directory, 'node');
  mkdirSync(place);
  const [node, probe, hello] = ['node', 'probe.cjs', 'hello.cjs'].map((name) => join(place, name));
  if (!node || !probe || !hello) throw new Error('unreachable');
  copyFileSync(realpathSync(process.execPath), node);
  chmodSync(node, 0o755);
  await bundle('probe.ts', probe);
  await bundle('hello.ts', hello);
  const addon = `@koromix/koffi-linux-${process.arch}`;
  for (const name of ['koffi', addon]) {
    const target = join(place, 'node_modules', name);
    cpSync(join(ROOT, 'node_modules', name), target, {
      recursive: true,
      filter: (path) => !/\/(musl_|doc|vendor)/.test(path),
    });
  }
  writeFileSync(join(place, 'package.json'), '{}');
  const runtime = `Node ${process.versions.node}, carried`;
  return { runtime, command: [node, probe], hello: [node, hello], ...size([node, probe, join(place, 'node_modules')]) };
}

/**
 * @param {string} entry
 * @param {string} outfile
 */
async function bundle(entry, outfile) {
  await build({
    entryPoints: [join(HERE, entry)],
    outfile,
    bundle: true,
    minify: true,
    platform: 'node',
    format: 'cjs',
    target: 'node20',
    logLevel: 'warning',
    plugins: [etcd3ProtoPlugin()],
  });
}

/** @param {readonly string[]} paths */
function size(paths) {
  const archive = execFileSync('tar', ['-c', '-f', '-', ...paths], {
    maxBuffer: 2 ** 30,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  return { bytes: paths.map(bytesOf).reduce((a, b) => a + b), gzipBytes: gzipSync(archive).length };
}

/**
 * @param {string} path
 * @returns {number}
 */
function bytesOf(path) {
  const stat = statSync(path);
  if (!stat.isDirectory()) return stat.size;
  return readdirSync(path)
    .map((name) => bytesOf(join(path, name)))
    .reduce((a, b) => a + b, 0);
}
