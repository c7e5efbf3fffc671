import { join } from 'node:path';
import { withLock } from '../setup/lock.mjs';
import { buildAll, buildInfraOnly } from './artifacts.mjs';

/**
 * Builds what is out of date, one build at a time in a checkout.
 * @param {string} root
 * @param {NodeJS.ProcessEnv} env
 * @param {'all' | 'infra'} [what]
 */
export function build(root, env, what = 'all') {
  const work = () => (what === 'all' ? buildAll(root, env) : buildInfraOnly(root));
  return withLock(join(root, 'dist', '.build', 'lock'), 'the build', work);
}
