import { spawn } from 'node:child_process';
import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { ToolError } from './errors.mjs';
import { endGroup, isInterrupted, leadsGroups, startGroup } from './interrupt.mjs';

/** Debian keeps nft, ip and etcd's relatives where an ordinary PATH does not look. */
const SYSTEM_DIRECTORIES = ['/usr/local/sbin', '/usr/sbin', '/sbin'];
/** How much of a failed command's output is worth repeating. */
const TAIL_LINES = 25;

/**
 * Every executable file of that name on PATH, best first.
 * @param {string} name
 * @param {NodeJS.ProcessEnv} env
 * @returns {string[]}
 */
export function findPrograms(name, env) {
  const directories = [...(env.PATH ?? '').split(delimiter).filter((part) => part !== ''), ...SYSTEM_DIRECTORIES];
  return [...new Set(directories.map((directory) => join(directory, name)))].filter(isExecutable);
}

/**
 * @param {string} name
 * @param {NodeJS.ProcessEnv} env
 * @returns {string | undefined}
 */
export function findProgram(name, env) {
  return findPrograms(name, env)[0];
}

/** @param {string} path */
export function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/**
 * @typedef {object} RunOptions
 * @property {string} [cwd]
 * @property {NodeJS.ProcessEnv} [env]
 * @property {(line: string) => void} [onLine] sees each line of output as it comes
 * @property {number} [timeoutMs]
 */

/**
 * Runs a command to its end and gives its standard output. If it fails, the error repeats the end of what it said. Gives nothing once this
 * process is about to end by a signal.
 * @param {string} command
 * @param {readonly string[]} args
 * @param {RunOptions} [options]
 * @returns {Promise<string>}
 */
export function run(command, args, { cwd, env, onLine, timeoutMs } = {}) {
  return new Promise((resolve, reject) => {
    if (isInterrupted()) return;
    const detached = leadsGroups();
    const child = spawn(command, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'], timeout: timeoutMs, detached });
    const { pid } = child;
    if (detached && pid !== undefined) startGroup(pid);
    let stdout = '';
    /** @type {string[]} */
    const tail = [];
    /** @param {string} line */
    const seen = (line) => {
      tail.push(line);
      if (tail.length > TAIL_LINES) tail.shift();
      onLine?.(line);
    };
    child.stdout.setEncoding('utf8').on('data', (text) => {
      stdout += text;
    });
    eachLine(child.stdout, seen);
    eachLine(child.stderr.setEncoding('utf8'), seen);
    const shown = [command, ...args].join(' ');
    child.on('error', (cause) =>
      reject(new ToolError('COMMAND_FAILED', `Cannot run ${shown}: ${cause.message}`, { cause })),
    );
    child.on('close', (code, signal) => {
      if (pid !== undefined) endGroup(pid);
      if (isInterrupted()) return;
      if (code === 0) resolve(stdout);
      else {
        const said = tail.filter((line) => line.trim() !== '').map((line) => `\n  ${line}`);
        reject(new ToolError('COMMAND_FAILED', `${shown} ended with ${signal ?? `exit code ${code}`}${said.join('')}`));
      }
    });
  });
}

/**
 * @param {import('node:stream').Readable} stream of text
 * @param {(line: string) => void} callback
 */
function eachLine(stream, callback) {
  let rest = '';
  stream.on('data', (text) => {
    const lines = (rest + text).split(/\r?\n|\r/);
    rest = /** @type {string} */ (lines.pop());
    lines.forEach(callback);
  });
  stream.on('end', () => {
    if (rest !== '') callback(rest);
  });
}
