/** Kubernetes' programs and the images of a new cluster, in one directory. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { InfraError } from '../../errors.ts';

export interface KubernetesBuild {
  readonly version: string;
  /** Of all its files. */
  readonly sha256: string;
  readonly source: string;
}

export function readKubernetesBuild(directory: string): KubernetesBuild {
  const path = join(directory, 'manifest.json');
  try {
    const { version, sha256 } = JSON.parse(readFileSync(path, 'utf8')) as KubernetesBuild;
    if (typeof version === 'string' && /^[0-9a-f]{64}$/.test(sha256)) return { version, sha256, source: directory };
  } catch (cause) {
    throw new InfraError('ARTIFACT_MISSING', `Cannot read ${path}: "npm run up -- --kubernetes" makes it`, { cause });
  }
  throw new InfraError('ARTIFACT_MISSING', `${path} does not describe a build: "npm run up -- --kubernetes" makes it`);
}
