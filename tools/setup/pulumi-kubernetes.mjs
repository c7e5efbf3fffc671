import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { run } from './exec.mjs';
import { findPulumi } from './pulumi.mjs';

/** Pulumi finds it by this name on PATH. */
export const PROVIDER = 'pulumi-resource-kubernetes';
/** Of the SDK in package.json. */
const RELEASE = '4.34.2';
/** What tools/pulumi/kubernetes/go.mod names is the newest that is published as a Go module: of January 2026, after this version. */
export const PROVIDER_VERSION = '4.24.0';
const MODULE = 'github.com/pulumi/pulumi-kubernetes/provider/v4';
const DOWNLOAD_TIMEOUT_MS = 300_000;

/**
 * @typedef {import('./context.mjs').Context} Context
 * @typedef {import('./go.mjs').Go} Go
 */

/**
 * By the Pulumi CLI, which knows where its releases are.
 * @param {Context} context
 * @param {string} path
 */
export async function downloadProvider(context, path) {
  const bin = await findPulumi(context);
  const home = mkdtempSync(join(dirname(path), '.work-'));
  try {
    const PATH = `${bin === undefined ? '' : `${bin}${delimiter}`}${context.env.PATH ?? ''}`;
    const env = { ...context.env, PATH, PULUMI_HOME: home, PULUMI_SKIP_UPDATE_CHECK: 'true' };
    const args = ['plugin', 'install', 'resource', 'kubernetes', RELEASE];
    await run('pulumi', args, { env, timeoutMs: DOWNLOAD_TIMEOUT_MS });
    renameSync(join(home, 'plugins', `resource-kubernetes-v${RELEASE}`, PROVIDER), path);
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}

/**
 * A folder of our wrapper with the two files that it embeds, which upstream's generate.go makes of files in the module.
 * @param {Context} context
 * @param {Go} go
 * @param {string} work
 */
export async function embedSchema(context, go, work) {
  const wrapper = join(context.root, 'tools', 'pulumi', 'kubernetes');
  const folder = join(work, 'provider');
  mkdirSync(folder);
  for (const name of readdirSync(wrapper)) copyFileSync(join(wrapper, name), join(folder, name));
  const answer = await run(go.program, ['list', '-mod=mod', '-m', '-json', MODULE], {
    cwd: folder,
    env: { ...context.env, ...go.env },
  });
  /** @type {{ Version: string }} */
  const { Version } = JSON.parse(answer);
  const downloaded = await run(go.program, ['mod', 'download', '-json', `${MODULE}@${Version}`], {
    cwd: folder,
    env: { ...context.env, ...go.env },
  });
  /** @type {{ Dir: string }} */
  const { Dir } = JSON.parse(downloaded);
  const read = (/** @type {string} */ name) => JSON.parse(readFileSync(join(Dir, 'cmd', PROVIDER, name), 'utf8'));
  const schema = { ...read('schema.json'), version: PROVIDER_VERSION };
  writeFileSync(join(folder, 'schema-embed.json'), JSON.stringify(schema));
  writeFileSync(join(folder, 'terraform-mapping-embed.json'), JSON.stringify(read('terraform-mapping.json')));
  return folder;
}
