import { chmodSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { installPackages } from './debian.mjs';
import { ToolError } from './errors.mjs';
import { findPrograms, run } from './exec.mjs';
import { step } from './progress.mjs';

/** What the go.mod files below tools ask for. */
const WANTED = [1, 26];
/** From this version on, Go fetches the version that a go.mod asks for by itself. */
const FIRST_WITH_TOOLCHAINS = [1, 21];
const TOOLCHAIN_VERSION = 'go1.26.8';
const DEBIAN_PACKAGE = { name: 'golang-go', program: 'go', why: 'to build what cannot be downloaded' };

/**
 * What Go is wanted for.
 * @typedef {object} Wanted
 * @property {string} code of the error
 * @property {string} lack a sentence without its end
 */

/** @type {Wanted} */
const PULUMI = { code: 'PULUMI', lack: 'There is no Pulumi CLI 3.240 or newer on PATH' };

/**
 * @typedef {object} Go
 * @property {string} program
 * @property {NodeJS.ProcessEnv} env to be laid over the environment
 */

/**
 * A Go that is new enough: one that is here, or Debian's, or the one that Debian's can fetch.
 * @param {import('./context.mjs').Context} context
 * @param {Error} whyNeeded
 * @param {Wanted} [wanted]
 * @returns {Promise<Go>}
 */
export async function findGo(context, whyNeeded, { code, lack } = PULUMI) {
  const present = await pickGo(context);
  if (present !== undefined) return present;
  try {
    await installPackages(context, [DEBIAN_PACKAGE]);
    const installed = await pickGo(context);
    if (installed !== undefined) return installed;
    return await fetchToolchain(context);
  } catch (cause) {
    throw new ToolError(
      code,
      `${lack}, its download failed, and there is no Go ${WANTED.join('.')} to build it with: install one of the two\n` +
        `The download: ${whyNeeded.message}\nGo: ${/** @type {Error} */ (cause).message}`,
      { cause },
    );
  }
}

/**
 * @param {import('./context.mjs').Context} context
 * @returns {Promise<Go | undefined>}
 */
async function pickGo(context) {
  for (const program of goPrograms(context)) {
    const version = await run(program, ['version'], { env: context.env }).catch(() => '');
    const usable = usableGo(program, version);
    if (usable !== undefined) return usable;
  }
  return undefined;
}

/** @param {import('./context.mjs').Context} context */
function goPrograms(context) {
  // Where Go's own installation instructions put it, without touching PATH.
  const PATH = `${context.env.PATH ?? ''}:/usr/local/go/bin`;
  return findPrograms('go', { ...context.env, PATH });
}

/**
 * @param {string} program
 * @param {string} text what `go version` says, e.g. "go version go1.26.8 linux/amd64"
 * @returns {Go | undefined}
 */
export function usableGo(program, text) {
  const match = /\bgo(\d+)\.(\d+)/.exec(text);
  if (match === null) return undefined;
  const version = [Number(match[1]), Number(match[2])];
  if (atLeast(version, WANTED)) return { program, env: {} };
  if (atLeast(version, FIRST_WITH_TOOLCHAINS)) return { program, env: { GOTOOLCHAIN: 'auto' } };
  return undefined;
}

/**
 * Go's releases are also modules, and an older Go can fetch them like any other. The module cache keeps no execute bits.
 * @param {import('./context.mjs').Context} context
 * @returns {Promise<Go>}
 */
async function fetchToolchain(context) {
  const [old] = goPrograms(context);
  if (old === undefined) throw new ToolError('GO', `The Debian package ${DEBIAN_PACKAGE.name} brought no "go"`);
  const architecture = process.arch === 'x64' ? 'amd64' : process.arch;
  const module = `golang.org/toolchain@v0.0.1-${TOOLCHAIN_VERSION}.linux-${architecture}`;
  const cwd = mkdtempSync(join(tmpdir(), 'flannel-ts-go-')); // outside any module
  try {
    const answer = await step(`Fetching ${TOOLCHAIN_VERSION}`, () =>
      run(old, ['mod', 'download', '-json', module], { cwd, env: context.env }),
    );
    /** @type {{Dir: string}} */
    const { Dir: directory } = JSON.parse(answer);
    const tools = join(directory, 'pkg', 'tool');
    const places = [join(directory, 'bin'), ...readdirSync(tools).map((name) => join(tools, name))];
    for (const place of places) {
      for (const name of readdirSync(place)) chmodSync(join(place, name), 0o555);
    }
    return { program: join(directory, 'bin', 'go'), env: { GOTOOLCHAIN: 'local', GOROOT: undefined } };
  } finally {
    rmSync(cwd, { recursive: true, force: true });
  }
}

/**
 * @param {readonly number[]} version
 * @param {readonly number[]} wanted
 */
function atLeast([major = 0, minor = 0], [wantedMajor = 0, wantedMinor = 0]) {
  return major > wantedMajor || (major === wantedMajor && minor >= wantedMinor);
}
