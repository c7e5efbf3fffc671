#!/usr/bin/env node
// The entry of the npm commands. Works in a fresh clone: nothing it loads before the set-up is outside Node.js.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { endWhenUnread } from './output.mjs';
import { makeContext } from './setup/context.mjs';
import { UsageError } from './setup/errors.mjs';
import { planNpm } from './setup/npm.mjs';
import { setUp } from './setup/setup.mjs';
import { assertTestsExist, testsNeedAws, testsNeedKubernetes, testsNeedMachine } from './suites.mjs';
import { assertNothingKeptByNpm, hintAtKeptStack, parseArguments, usage } from './usage.mjs';

/** @typedef {import('./setup/setup.mjs').Needs} Needs */
/** @typedef {import('./options.mjs').Options} Options */
/** @typedef {import('./setup/errors.mjs').ToolError} ToolError */

/** @type {Readonly<Record<string, (options: Options) => Needs>>} */
const NEEDS = {
  // With what a cluster needs besides, once the settings have been read (tools/src/commands/up.ts).
  up: () => ({ root: true, network: true, packages: ['run'], pulumi: true }),
  stop: () => ({ root: true, pulumi: true }),
  start: () => ({ root: true, network: true, packages: ['run'], pulumi: true }),
  down: () => ({ root: true, pulumi: true }),
  stacks: () => ({ pulumi: true }),
  'aws-preview': () => ({ pulumi: true }),
  status: () => ({ root: true, pulumi: true }),
  logs: () => ({ root: true }),
  shell: () => ({ root: true }),
  kubectl: () => ({ root: true }),
  kubeconfig: ({ words }) => ({ root: true, ...(words[0] === 'remove' ? {} : { pulumi: true }) }),
  image: () => ({ root: true }),
  pulumi: () => ({ root: true, pulumi: true }),
  setup: ({ words }) => ({
    root: true,
    network: true,
    packages: ['run', ...purposes(words)],
    pulumi: true,
    moto: words.includes('test'),
    kubernetes: words.includes('test') ? ['cluster', 'pulumi', 'helm'] : [],
  }),
  test: ({ words }) =>
    testsNeedMachine(words)
      ? {
          root: true,
          network: true,
          packages: ['run', 'test', ...(testsNeedKubernetes(words) ? [/** @type {const} */ ('kubernetes')] : [])],
          pulumi: true,
          moto: testsNeedAws(words),
          kubernetes: testsNeedKubernetes(words) ? ['cluster', 'pulumi', 'helm'] : [],
        }
      : {},
  fuzz: () => ({}),
  bench: () => ({ root: true, network: true, packages: ['run', 'bench'], pulumi: true }),
  ephemeral: ({ ci }) =>
    ci?.environment === 'aws' ? { pulumi: true } : { root: true, network: true, packages: ['run'], pulumi: true },
  conformance: () => ({ root: true, pulumi: true }),
  janitor: () => ({ pulumi: true }),
};

/**
 * @param {readonly string[]} words
 * @returns {('test' | 'bench')[]}
 */
function purposes(words) {
  return words.map((word) => {
    if (word === 'test' || word === 'bench') return word;
    throw new UsageError(`"setup" cannot use "${word}"`);
  });
}

/**
 * @param {string} name
 * @param {readonly string[]} args
 * @returns {Promise<number>} the exit code
 */
async function main(name, args) {
  if (name === '' || name === '--help' || name === '-h') {
    process.stdout.write(`${usage('')}\n`);
    return name === '' ? 2 : 0;
  }
  assertNothingKeptByNpm(name, process.env);
  const options = parseArguments(name, args);
  if (name === 'completion' && !options.help) {
    process.stdout.write(readFileSync(new URL('./completion/npm-run.bash', import.meta.url)));
    return 0;
  }
  if (options.help) {
    process.stdout.write(`${usage(name)}\n`);
    return 0;
  }
  const context = makeContext(dirname(dirname(fileURLToPath(import.meta.url))), process.env);
  if (name === 'test') assertTestsExist(context.root, options.words);
  const needs = NEEDS[name]?.(options) ?? {};
  if (name === 'up' && planNpm(context) === undefined) (await load(context)).checkCommand(context, name, options);
  await setUp(context, needs);
  return name === 'setup' ? 0 : (await load(context)).runCommand(context, name, options);
}

/**
 * The commands themselves, which are TypeScript; npm's packages must be installed.
 * @param {import('./setup/context.mjs').Context} context
 * @returns {Promise<typeof import('./src/main.ts')>}
 */
async function load({ root }) {
  const { bundle } = await import('./build/bundle.mjs');
  const file = await bundle(root, join('tools', 'src', 'main.ts'), join('dist', 'tools', 'main.cjs'));
  return createRequire(import.meta.url)(file);
}

/**
 * Errors of ours are sentences for the user; anything else is a fault in the program and shows where it happened.
 * @param {string} name
 * @param {unknown} error
 */
function report(name, error) {
  const { message, stack, code, exitCode } = /** @type {Partial<ToolError>} */ (error);
  const text = code === undefined ? (stack ?? String(error)) : message;
  const hint = code === undefined ? undefined : hintAtKeptStack(name, args, process.env);
  const lines = [text, ...(hint === undefined ? [] : [hint]), ...(code === 'USAGE' ? ['', usage(name)] : [])];
  process.stderr.write(`${lines.join('\n')}\n`);
  return exitCode ?? 1;
}

endWhenUnread();
const [name = '', ...args] = process.argv.slice(2);
try {
  process.exitCode = await main(name, args);
} catch (error) {
  process.exitCode = report(name, error);
}
