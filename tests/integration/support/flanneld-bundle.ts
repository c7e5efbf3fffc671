/** flanneld as one file in a directory of its own. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { build, type Plugin } from 'esbuild';
import { etcd3ProtoPlugin } from '../../../daemon/build/etcd3-proto-plugin.mjs';
import { workerDefine } from '../../../daemon/build/workers.mjs';
import { copyKoffi } from './koffi.ts';

const ROOT = path.resolve(__dirname, '../../..');

export interface BundleOptions {
  /** A module to take the place of the reference engine. */
  readonly engine?: string;
}

/** The caller removes the directory of the file it gets. */
export async function bundleFlanneld(options: BundleOptions = {}): Promise<string> {
  const directory = mkdtempSync(path.join(tmpdir(), 'fltest-flanneld-'));
  const outfile = path.join(directory, 'flanneld.cjs');
  const replaceEngine: Plugin = {
    name: 'replace-engine',
    setup({ onResolve }) {
      onResolve({ filter: /\/reference\/engine\.ts$/ }, () => (options.engine ? { path: options.engine } : undefined));
    },
  };
  await build({
    absWorkingDir: ROOT,
    entryPoints: ['daemon/src/main.ts'],
    outfile,
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'cjs',
    sourcemap: 'inline',
    logLevel: 'error',
    define: { ...(await workerDefine()), FLANNEL_TS_VERSION: '"test"' },
    plugins: [etcd3ProtoPlugin(), replaceEngine],
  });
  copyKoffi(directory);
  return outfile;
}

/** The executable that nodes get, compiled by Bun as `npm run build` does. */
export function compileFlanneld(): string {
  const directory = mkdtempSync(path.join(tmpdir(), 'fltest-flanneld-'));
  const outfile = path.join(directory, 'flanneld');
  const entries = [path.join(ROOT, 'daemon/src/main.ts')];
  const task = { entries, outfile, version: 'test', target: `bun-linux-${process.arch}` };
  const bun = path.join(ROOT, 'node_modules/.bin/bun');
  execFileSync(bun, [path.join(ROOT, 'tools/build/compile.mjs'), JSON.stringify(task)], { cwd: ROOT });
  return outfile;
}
