/** Kubernetes' programs and images, kept with the stack: machines run them wherever they were built or fetched to. */
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { stackDirectory } from '../names.ts';
import { pruneEmpty } from './files.ts';
import { linkOrCopy } from './link-or-copy.ts';
import { ABSENT, handler } from './resource.ts';

export interface KubernetesArtifactInputs {
  readonly stack: string;
  /** Of all its files. */
  readonly sha256: string;
  /** Directory with bin/ and images.tar; relative to the program, for checkouts differ. */
  readonly source: string;
}

export interface KubernetesArtifactOutputs {
  readonly directory: string;
}

export function kubernetesPath(stack: string, sha256: string): string {
  return join(stackDirectory(stack), 'kubernetes', sha256.slice(0, 16));
}

export const kubernetesArtifact = handler<KubernetesArtifactInputs, KubernetesArtifactOutputs>({
  id: ({ stack, sha256 }) => `${stack}/kubernetes/${sha256}`,
  identity: ['stack', 'sha256'],
  ignored: ['source'],
  async ensure({ stack, sha256, source }) {
    const directory = kubernetesPath(stack, sha256);
    if (!existsSync(directory)) store(resolve(source), directory);
    return { directory };
  },
  async observe({ stack, sha256 }) {
    return existsSync(kubernetesPath(stack, sha256)) ? { present: true } : ABSENT;
  },
  async remove({ stack, sha256 }) {
    const directory = kubernetesPath(stack, sha256);
    rmSync(directory, { recursive: true, force: true });
    pruneEmpty(dirname(directory));
  },
});

function store(source: string, directory: string): void {
  const work = `${directory}.${process.pid}`;
  mkdirSync(join(work, 'bin'), { recursive: true });
  const programs = readdirSync(join(source, 'bin')).map((name) => `bin/${name}`);
  for (const path of [...programs, 'images.tar']) linkOrCopy(join(source, path), join(work, path));
  renameSync(work, directory);
}
