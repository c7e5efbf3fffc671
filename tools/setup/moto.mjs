import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { installPackages } from './debian.mjs';
import { ToolError } from './errors.mjs';
import { findProgram, isExecutable, run } from './exec.mjs';
import { step } from './progress.mjs';

export const MOTO_VERSION = '5.2.5';
const REQUIREMENT = `moto[server,ec2,s3,iam,ssm,autoscaling]==${MOTO_VERSION}`;
/** Debian's Python comes without what makes virtual environments. */
const DEBIAN_PACKAGE = { name: 'python3-venv', program: 'python3' };
/** Started by its interpreter: a virtual environment's scripts name the directory in which it was made. */
const MODULE = 'moto.server';

/** @typedef {import('./context.mjs').Context} Context */

/**
 * How to start moto's server, an emulation of AWS's API; undefined where the set-up has not brought it.
 * @param {Context} context
 * @returns {readonly string[] | undefined} program and arguments, a port to be added
 */
export function findMoto(context) {
  const python = join(directoryOf(context), 'bin', 'python');
  return isExecutable(python) ? [python, '-m', MODULE] : undefined;
}

/**
 * @param {Context} context
 * @returns {import('./npm.mjs').Change | undefined}
 */
export function planMoto(context) {
  if (findMoto(context) !== undefined) return undefined;
  return {
    what: `${directoryOf(context)}: moto ${MOTO_VERSION}, an emulation of AWS's API for the tests, from the Python package index`,
    apply: () => install(context),
  };
}

/** @param {Context} context */
function directoryOf(context) {
  return join(context.cache, 'tools', `moto-${MOTO_VERSION}`);
}

/**
 * Made under another name and renamed, so that it is there entirely or not at all.
 * @param {Context} context
 */
async function install(context) {
  const final = directoryOf(context);
  mkdirSync(dirname(final), { recursive: true });
  const work = mkdtempSync(`${final}.`);
  try {
    await makeEnvironment(context, work);
    const pip = join(work, 'bin', 'python');
    const args = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', REQUIREMENT];
    await step('Installing moto', (detail) => run(pip, args, { env: context.env, onLine: detail }));
    if (existsSync(final)) rmSync(final, { recursive: true });
    renameSync(work, final);
  } catch (cause) {
    throw new ToolError(
      'MOTO',
      `Cannot install moto, by which the tests ask an emulation of AWS for its opinion: ${/** @type {Error} */ (cause).message}`,
      { cause },
    );
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/**
 * @param {Context} context
 * @param {string} directory
 */
async function makeEnvironment(context, directory) {
  const { env } = context;
  const usable = await run('python3', ['-c', 'import venv, ensurepip'], { env }).then(
    () => true,
    () => false,
  );
  if (!usable) await installPackages(context, [DEBIAN_PACKAGE]);
  const python = findProgram('python3', env);
  if (python === undefined) throw new ToolError('MOTO', 'there is no python3 on PATH');
  await run(python, ['-m', 'venv', directory], { env });
}
