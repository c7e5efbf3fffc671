import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './exec.mjs';
import { step } from './progress.mjs';

/** Bun's package brings a text file of some hundred bytes until its install script has put the binary there. */
const SMALLEST_BUN_BYTES = 1_000_000;
/** In the checkout while npm installs. Beside node_modules, which npm empties. */
const UNFINISHED = 'node_modules.unfinished';

/**
 * Something the set-up changes on this machine.
 * @typedef {object} Change
 * @property {string} what one line for the user, before it happens
 * @property {() => Promise<void>} apply
 */

/**
 * @param {import('./context.mjs').Context} context
 * @returns {Change | undefined}
 */
export function planNpm(context) {
  const difference = describeDifference(context.root);
  if (difference === undefined) return undefined;
  return {
    what: `node_modules/ in this checkout: install the npm dependencies (${difference})`,
    apply: () =>
      step('Installing the npm dependencies', async (detail) => {
        const mark = join(context.root, UNFINISHED);
        writeFileSync(mark, '');
        await run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error', '--no-progress'], {
          cwd: context.root,
          env: context.env,
          onLine: detail,
        });
        rmSync(mark);
      }),
  };
}

/**
 * npm 11 runs no install scripts, and Bun's puts the binary in its place.
 * @param {import('./context.mjs').Context} context
 * @returns {Change | undefined}
 */
export function planBun(context) {
  const directory = join(context.root, 'node_modules', 'bun');
  const size = statSync(join(directory, 'bin', 'bun.exe'), { throwIfNoEntry: false })?.size ?? 0;
  if (size >= SMALLEST_BUN_BYTES) return undefined;
  return {
    what: 'node_modules/bun in this checkout: put the Bun compiler in its place',
    apply: () =>
      step('Preparing Bun', async () => {
        await run(process.execPath, ['install.js'], { cwd: directory, env: context.env });
      }),
  };
}

/**
 * Compares package-lock.json with the hidden lock file, in which npm records what it has installed: by content and not by time, so that a
 * fresh clone and a switched branch are seen for what they are. An install that was cut off may have left that file complete and the packages
 * not, so there is a mark of ours for it.
 * @param {string} root
 * @returns {string | undefined} how they differ
 */
export function describeDifference(root) {
  const wanted = readPackages(join(root, 'package-lock.json'));
  const installed = readPackages(join(root, 'node_modules', '.package-lock.json'));
  if (wanted === undefined) return 'package-lock.json is missing';
  if (existsSync(join(root, UNFINISHED))) return 'the last install was cut off';
  if (installed === undefined) return 'nothing is installed yet';
  for (const [path, entry] of Object.entries(wanted)) {
    if (!path.includes('node_modules/')) continue; // this project and its workspaces
    const present = installed[path];
    const name = path.replace(/^.*node_modules\//, '');
    if (present === undefined) {
      if (!entry.optional) return `${name} is missing`; // optional: for another platform
    } else if (present.version !== entry.version || present.integrity !== entry.integrity) {
      return `${name} is ${present.version}, ${entry.version} is wanted`;
    }
  }
  return undefined;
}

/**
 * @typedef {{version?: string, integrity?: string, optional?: boolean}} LockEntry
 * @param {string} path
 * @returns {Record<string, LockEntry> | undefined}
 */
function readPackages(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8')).packages;
  } catch {
    return undefined;
  }
}
