/** Bundles what Pulumi's provider process and the machines run, into infra/dist. */
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('.', import.meta.url));

export async function buildInfra() {
  await build({
    absWorkingDir: root,
    entryPoints: { host: 'local/host.ts', supervisor: 'local/supervisor/main.ts' },
    outdir: 'dist',
    outExtension: { '.js': '.cjs' },
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'cjs',
    // A native addon: found in node_modules by its name.
    external: ['koffi'],
    sourcemap: 'linked',
    legalComments: 'none',
    logLevel: 'warning',
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await buildInfra();
