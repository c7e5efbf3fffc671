import { spawnSync } from 'node:child_process';

/** What the build of flannel that FLANNEL_UPSTREAM names says of itself; undefined without one. */
export function upstreamVersion(program: string | undefined): string | undefined {
  if (program === undefined || program === '') return undefined;
  const { error, stdout, stderr } = spawnSync(program, ['-version'], { encoding: 'utf8' });
  if (error !== undefined) throw new Error(`FLANNEL_UPSTREAM "${program}" cannot be run: ${error.message}`);
  return (stdout + stderr).trim();
}
