import { homedir } from 'node:os';
import { join } from 'node:path';

/**
 * What the tools work on: one checkout, one cache, one environment. Nothing below run.mjs and build.mjs looks for these
 * by itself, so a test can hand in others.
 * @typedef {object} Context
 * @property {string} root the checkout
 * @property {string} cache outside the checkout: a second clone finds what the first has made
 * @property {NodeJS.ProcessEnv} env
 */

/**
 * @param {string} root
 * @param {NodeJS.ProcessEnv} env
 * @returns {Context}
 */
export function makeContext(root, env) {
  return { root, cache: cacheDirectory(env), env };
}

/**
 * The home of the cache by the XDG base directory specification, which says that an empty or relative value counts as unset.
 * @param {NodeJS.ProcessEnv} env
 */
export function cacheDirectory(env) {
  if (env.FLANNEL_CACHE) return env.FLANNEL_CACHE;
  const base = env.XDG_CACHE_HOME?.startsWith('/') ? env.XDG_CACHE_HOME : join(env.HOME || homedir(), '.cache');
  return join(base, 'flannel-ts');
}
