import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, delimiter, dirname, join } from 'node:path';
import { ToolError } from './errors.mjs';
import { findProgram, findPrograms, isExecutable, run } from './exec.mjs';
import { findGo } from './go.mjs';
import { step } from './progress.mjs';

/** Both ways of getting one give this version: tools/pulumi/cli/go.mod names it too. */
export const PULUMI_VERSION = '3.259.0';
const MIN_VERSION = /** @type {const} */ ([3, 240]);
const PROVIDER_SCRIPT = 'pulumi-resource-pulumi-nodejs';
/** The CLI alone is not enough: the language host runs the program, the script runs its dynamic providers. */
const PROGRAMS = ['pulumi', 'pulumi-language-nodejs', PROVIDER_SCRIPT];
const DOWNLOAD_TIMEOUT_MS = 600_000;

/** @typedef {import('./context.mjs').Context} Context */

/**
 * The directory of a usable Pulumi CLI, or undefined.
 * @param {Context} context
 * @returns {Promise<string | undefined>}
 */
export async function findPulumi(context) {
  for (const path of findPrograms('pulumi', context.env)) {
    const directory = dirname(path);
    const env = { ...context.env, PATH: `${directory}${delimiter}${context.env.PATH ?? ''}` };
    const complete = PROGRAMS.every((name) => findProgram(name, env) !== undefined);
    if (complete && isRecent(await versionOf(context, path))) return directory;
  }
  const cached = binDirectory(context);
  return isComplete(cached) ? cached : undefined;
}

/**
 * @param {Context} context
 * @returns {Promise<import('./npm.mjs').Change | undefined>}
 */
export async function planPulumi(context) {
  if ((await findPulumi(context)) !== undefined) return undefined;
  return {
    what:
      `${dirname(binDirectory(context))}: the Pulumi CLI ${PULUMI_VERSION}, by its npm package's download if that can be reached, ` +
      'else built from its Go modules (about 5 minutes and 3 GB below your Go directories; Go itself is the Debian package golang-go if there is none)',
    apply: () => acquire(context),
  };
}

/** @param {Context} context */
function binDirectory(context) {
  return join(context.cache, 'tools', `pulumi-${PULUMI_VERSION}`, 'bin');
}

/** @param {string} directory */
function isComplete(directory) {
  return PROGRAMS.every((name) => isExecutable(join(directory, name)));
}

/**
 * Makes the whole directory under another name and renames it, so that it is there entirely or not at all.
 * @param {Context} context
 */
async function acquire(context) {
  const final = dirname(binDirectory(context));
  const tools = dirname(final);
  mkdirSync(tools, { recursive: true });
  // What a set-up that was cut off has left: there is one at a time.
  for (const name of readdirSync(tools)) {
    if (name.startsWith(`${basename(final)}.`)) rmSync(join(tools, name), { recursive: true, force: true });
  }
  const work = mkdtempSync(`${final}.`);
  const bin = join(work, 'bin');
  mkdirSync(bin);
  try {
    const failure = await download(context, work, bin).catch((error) => /** @type {Error} */ (error));
    if (failure !== undefined) await build(context, bin, failure);
    copyProviderScript(context.root, bin);
    const version = await askVersion(context, join(bin, 'pulumi'));
    if (version !== `v${PULUMI_VERSION}`) {
      throw new ToolError('PULUMI', `The Pulumi CLI calls itself "${version}", v${PULUMI_VERSION} was asked for`);
    }
    chmodSync(work, 0o755);
    rmSync(final, { recursive: true, force: true });
    renameSync(work, final);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/**
 * The npm package `pulumi` is a downloader: it puts the CLI into PULUMI_HOME/versions/VERSION/bin when it is first run.
 * @param {Context} context
 * @param {string} work
 * @param {string} bin
 * @returns {Promise<undefined>}
 */
async function download(context, work, bin) {
  const home = join(work, 'home');
  mkdirSync(home);
  const env = { ...context.env, PULUMI_HOME: home, PULUMI_SKIP_UPDATE_CHECK: 'true', PULUMI_VERSION };
  const args = ['exec', '--yes', '--loglevel=error', `--package=pulumi@${PULUMI_VERSION}`, '--', 'pulumi', 'version'];
  await step(
    'Trying the download of the Pulumi CLI',
    (detail) => run('npm', args, { cwd: work, env, onLine: detail, timeoutMs: DOWNLOAD_TIMEOUT_MS }),
    'not possible',
  );
  rmSync(bin, { recursive: true });
  renameSync(join(home, 'versions', PULUMI_VERSION, 'bin'), bin);
  rmSync(home, { recursive: true });
}

/**
 * Stock upstream, nothing patched. Each piece has a module of its own, because the language host's last published version
 * is older than the CLI's.
 * @param {Context} context
 * @param {string} bin
 * @param {Error} downloadFailure
 */
async function build(context, bin, downloadFailure) {
  const go = await findGo(context, downloadFailure);
  const flags = (/** @type {string} */ version) =>
    `-s -w -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v${version}`;
  const pieces = [
    { title: 'Building the Pulumi CLI from its Go modules', directory: 'cli', ldflags: flags(PULUMI_VERSION) },
    { title: "Building Pulumi's Node.js host from its Go modules", directory: 'language-nodejs', ldflags: '-s -w' },
  ];
  for (const { title, directory, ldflags } of pieces) {
    const cwd = join(context.root, 'tools', 'pulumi', directory);
    const args = ['install', '-v', '-trimpath', '-tags', 'osusergo,grpcnotrace', '-ldflags', ldflags, 'tool'];
    const env = { ...context.env, ...go.env, GOBIN: bin, CGO_ENABLED: '0' };
    await step(title, (detail) => run(go.program, args, { cwd, env, onLine: detail }));
  }
}

/**
 * @param {string} root
 * @param {string} bin
 */
function copyProviderScript(root, bin) {
  const target = join(bin, PROVIDER_SCRIPT);
  if (existsSync(target)) return; // the download brings it
  copyFileSync(join(root, 'node_modules', '@pulumi', 'pulumi', PROVIDER_SCRIPT), target);
  chmodSync(target, 0o755);
}

/** @param {string} version */
function isRecent(version) {
  const [major = 0, minor = 0] = version.replace(/^v/, '').split('.').map(Number);
  return major > MIN_VERSION[0] || (major === MIN_VERSION[0] && minor >= MIN_VERSION[1]);
}

/**
 * Asking the CLI takes some tenths of a second, so the answer is kept as long as the file is the same.
 * @param {Context} context
 * @param {string} path
 * @returns {Promise<string>}
 */
async function versionOf(context, path) {
  const file = join(context.cache, 'pulumi-versions.json');
  const { size, mtimeMs } = statSync(path);
  const key = `${path}:${size}:${mtimeMs}`;
  const known = readVersions(file);
  const version = known[key] ?? (await askVersion(context, path));
  if (known[key] === undefined && version !== '') {
    mkdirSync(context.cache, { recursive: true });
    const work = `${file}.${process.pid}`;
    writeFileSync(work, JSON.stringify({ ...known, [key]: version }));
    renameSync(work, file);
  }
  return version;
}

/**
 * @param {Context} context
 * @param {string} path
 */
async function askVersion(context, path) {
  // It makes its home whatever it is asked.
  const PULUMI_HOME = context.env.PULUMI_HOME ?? join(context.cache, 'pulumi-home');
  const env = { ...context.env, PULUMI_SKIP_UPDATE_CHECK: 'true', PULUMI_HOME };
  // Not a Pulumi CLI then, whatever its name.
  const answer = await run(path, ['version'], { env }).catch(() => '');
  return answer.trim();
}

/**
 * @param {string} file
 * @returns {Record<string, string>}
 */
function readVersions(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return {};
  }
}
