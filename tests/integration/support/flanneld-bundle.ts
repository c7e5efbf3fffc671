/** flanneld as one file in a directory of its own. */
import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { build, type Plugin } from 'esbuild';
import { etcd3ProtoPlugin } from '../../../daemon/build/etcd3-proto-plugin.mjs';
import { workerDefine } from '../../../daemon/build/workers.mjs';
import { built, builtAsync } from './built.ts';
import { copyKoffi } from './koffi.ts';

const ROOT = path.resolve(__dirname, '../../..');
const SOURCES = ['daemon', 'packages', 'tsconfig.json'];

export interface BundleOptions {
  /** A module to take the place of the reference engine. */
  readonly engine?: string;
  readonly version?: string;
}

/** The caller removes the directory of the file it gets. */
export async function bundleFlanneld(options: BundleOptions = {}): Promise<string> {
  const { engine, version } = options;
  const settings = [engine && path.basename(engine, '.ts'), version].filter((part) => part !== undefined).join('-');
  const sources = engine ? [...SOURCES, path.relative(ROOT, engine)] : SOURCES;
  const name = 'flanneld-bundle';
  const directory = await builtAsync({ name, sources, ...(settings && { settings }) }, (to) => bundle(to, options));
  return path.join(directory, 'flanneld.cjs');
}

async function bundle(directory: string, { engine, version = 'test' }: BundleOptions): Promise<void> {
  const replaceEngine: Plugin = {
    name: 'replace-engine',
    setup({ onResolve }) {
      onResolve({ filter: /\/reference\/engine\.ts$/ }, () => (engine ? { path: engine } : undefined));
    },
  };
  await build({
    absWorkingDir: ROOT,
    entryPoints: ['daemon/src/main.ts'],
    outfile: path.join(directory, 'flanneld.cjs'),
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'cjs',
    sourcemap: 'inline',
    logLevel: 'error',
    define: { ...(await workerDefine()), FLANNEL_TS_VERSION: JSON.stringify(version) },
    plugins: [etcd3ProtoPlugin(), replaceEngine],
  });
  copyKoffi(directory);
}

/** The executable that nodes get. The caller removes its directory. */
export function compileFlanneld(): string {
  return compileProgram('flanneld', 'daemon/src/main.ts', SOURCES);
}

/** An executable of this name, compiled by Bun as `npm run build` does. Paths are relative to the checkout. */
export function compileProgram(program: string, entry: string, sources: readonly string[]): string {
  const directory = built({ name: program, sources }, (to) => {
    const entries = [path.join(ROOT, entry)];
    const outfile = path.join(to, program);
    const task = { entries, outfile, version: 'test', target: `bun-linux-${process.arch}` };
    const bun = path.join(ROOT, 'node_modules/.bin/bun');
    execFileSync(bun, [path.join(ROOT, 'tools/build/compile.ts'), JSON.stringify(task)], { cwd: ROOT });
  });
  return path.join(directory, program);
}
