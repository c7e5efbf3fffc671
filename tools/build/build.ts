import { join } from 'node:path';
import { withLock } from '../setup/lock.mjs';
import { buildAll, buildInfraOnly } from './artifacts.ts';

/** Builds what is out of date, one build at a time in a checkout. */
export function build(root: string, env: NodeJS.ProcessEnv, what: 'all' | 'infra' = 'all'): Promise<void> {
  const work = () => (what === 'all' ? buildAll(root, env) : buildInfraOnly(root));
  return withLock(join(root, 'dist', '.build', 'lock'), 'the build', work);
}
