/** The place nodes fetch their artifact from: a directory per sha256, as the keys of a bucket would be. */
import { createHash, randomUUID } from 'node:crypto';
import {
  copyFileSync,
  createReadStream,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, resolve } from 'node:path';
import { InfraError } from '../../errors.ts';
import { artifactPath } from '../names.ts';
import { pruneEmpty } from './files.ts';
import { ABSENT, handler } from './resource.ts';

export interface ArtifactInputs {
  readonly stack: string;
  readonly sha256: string;
  readonly file: string;
  /** Where the archive was built; relative to the program, for checkouts differ. */
  readonly source: string;
}

export interface ArtifactOutputs {
  readonly url: string;
  /** Tells whose the stored archive is. */
  readonly owner: string;
}

export const artifact = handler<ArtifactInputs, ArtifactOutputs>({
  id: ({ stack, sha256 }) => `${stack}/${sha256}`,
  identity: ['stack', 'sha256', 'file'],
  ignored: ['source'],
  async ensure({ stack, sha256, file, source }) {
    const target = artifactPath(stack, sha256, file);
    if (!existsSync(target)) await store(resolve(source), target, sha256);
    const owner = randomUUID();
    writeFileSync(ownerFile(target), owner);
    return { url: `file://${target}`, owner };
  },
  async observe({ stack, sha256, file }) {
    return existsSync(artifactPath(stack, sha256, file)) ? { present: true } : ABSENT;
  },
  async remove({ stack, sha256, file, owner }) {
    const target = artifactPath(stack, sha256, file);
    // After a way back the archive of an earlier resource is a later one's too, and the earlier is removed after it was made.
    if (isOwnedByAnother(target, owner)) return;
    for (const path of [target, ownerFile(target)]) rmSync(path, { force: true });
    pruneEmpty(dirname(target));
  },
});

function ownerFile(target: string): string {
  return `${target}.owner`;
}

function isOwnedByAnother(target: string, owner: string): boolean {
  return existsSync(ownerFile(target)) && readFileSync(ownerFile(target), 'utf8') !== owner;
}

async function store(source: string, target: string, sha256: string): Promise<void> {
  mkdirSync(dirname(target), { recursive: true });
  const temporary = `${target}.new`;
  copyFileSync(source, temporary);
  const found = await sha256Of(temporary);
  if (found !== sha256) {
    rmSync(temporary);
    throw new InfraError(
      'ARTIFACT_MISMATCH',
      `${source} has the sha256 ${found}, its manifest says ${sha256}: run "npm run build"`,
    );
  }
  renameSync(temporary, target);
}

async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}
