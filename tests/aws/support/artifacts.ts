/** Artifacts that stacks put into their bucket, made up for a test: what is in them does not matter to AWS. */
import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface MadeArtifact {
  /** What `artifact` and `etcdArtifact` are set to. */
  readonly directory: string;
  readonly sha256: string;
}

/** As the build leaves it: an archive, and a manifest.json that names it. */
export function makeArtifact(
  parent: string,
  product: 'flannel' | 'etcd',
  version: string,
  architecture: string,
): MadeArtifact {
  const directory = join(parent, `${product}-${version}`);
  const contents = `${product} ${version}`;
  const sha256 = createHash('sha256').update(contents).digest('hex');
  const file = `${product}-${version}-linux-${architecture}.tar.gz`;
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, file), contents);
  writeFileSync(join(directory, 'manifest.json'), JSON.stringify({ version, artifact: { file, sha256 } }));
  return { directory, sha256 };
}
